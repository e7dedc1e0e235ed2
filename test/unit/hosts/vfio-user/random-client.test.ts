/** Sessions of clients that say anything, with any descriptors: the server answers or ends them, and keeps nothing of them. */
import { closeSync, openSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import {
  type Command,
  commands,
  encodeError,
  encodeRequest,
  header,
  MessageFlag,
  Region,
} from '../../../../src/hosts/vfio-user/messages.ts';
import type { Fields, Struct, Values } from '../../../../src/hosts/vfio-user/struct.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { reportSessions, sessionRuns } from '../../../support/runs.ts';
import { openFds } from '../../unix/open-fds.ts';
import { sharedMaps } from '../../unix/shared-maps.ts';
import { type RawClient, VfioRig } from './vfio-rig.ts';

const RUNS = sessionRuns(1511, 150);
const PAGE = 4096;
const FILE_BYTES = 16 * PAGE;

/** What a client may have at hand; opened once, sent again and again. */
function openKinds(): { readonly fds: readonly number[]; close(): void } {
  const [near, far] = UnixSocket.pair();
  const event = EventFd.create();
  const opened = [memfd(FILE_BYTES), openSync('/dev/null', 'r+'), openSync('/', 'r')];
  return {
    fds: [opened[0]!, opened[0]!, event.fd, event.fd, ...opened, near.fd],
    close: () => {
      for (const socket of [near, far, event]) socket.close();
      closeFd(opened[0]!);
      for (const fd of opened.slice(1)) closeSync(fd);
    },
  };
}

const interesting = fc.oneof(
  { weight: 6, arbitrary: fc.nat(64) },
  { weight: 3, arbitrary: fc.nat(16).map((pages) => pages * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0xffff, 0x1_0000, 0x2_0002, 0xffff_ffff, 2 ** 32, 2 ** 53 - PAGE, 2 ** 63) },
);

const pages = fc.nat(2).map((count) => count * PAGE);
const room = fc.constantFrom(0, 16, 32, 64);
/** By the name of a field, in any request: what makes sense more often than not. */
const LIKELY: Readonly<Record<string, fc.Arbitrary<number>>> = {
  argsz: room,
  address: pages,
  index: fc.nat(9),
  start: fc.nat(2),
  region: fc.constantFrom(0, 1, 4, 4, 7, 7, 9),
};
/** By the name of a request. */
const LIKELY_IN: Readonly<Record<string, Readonly<Record<string, fc.Arbitrary<number>>>>> = {
  dmaMap: { flags: fc.constantFrom(0, 1, 3, 3, 3), offset: pages, size: pages },
  dmaUnmap: { size: pages },
  setIrqs: {
    flags: fc.constantFrom(0x21, 0x22, 0x24, 0x24, 0x24, 0x09, 0x11, 0x14),
    index: fc.constantFrom(0, 0, 2, 2, 1),
    count: fc.nat(3),
  },
  regionRead: { offset: fc.nat(70), count: fc.constantFrom(1, 2, 4, 4, 8, 256) },
  regionWrite: { offset: fc.nat(70), count: fc.nat(8) },
  feature: { flags: fc.constantFrom(0x1_0001, 0x1_0002, 0x2_0002, 0x2_0002, 0x6_0002, 0x5_0001, 0x1_0006) },
  readMigration: { size: fc.nat(3000) },
  writeMigration: { size: fc.nat(16) },
};

const request = fc
  .constantFrom(...(Object.values(commands) as Command[]), commands.dmaMap as Command, commands.setIrqs as Command)
  .chain((command) => {
    const struct = command.request as Struct<Fields>;
    const names = Object.keys(struct.read(new DataView(new ArrayBuffer(struct.bytes))));
    const fields = names.map((name) => {
      const likely = LIKELY_IN[command.name]?.[name] ?? LIKELY[name] ?? interesting;
      return [name, fc.oneof({ weight: 9, arbitrary: likely }, { weight: 1, arbitrary: interesting })];
    });
    return fc.record({
      kind: fc.constant('request' as const),
      command: fc.constant(command),
      fields: fc.record(Object.fromEntries(fields)) as fc.Arbitrary<Values<Fields>>,
      data: fc.oneof(fc.uint8Array({ maxLength: 48 }), fc.constantFrom(2, 3, 4, 1).map(deviceState)),
      fds: fc.oneof(fc.constantFrom([0], [2], [2, 3], []), fc.array(fc.nat(7), { maxLength: 3 })),
      flags: fc.constantFrom(0, 0, 0, 0, MessageFlag.NO_REPLY, MessageFlag.REPLY),
    });
  });

function deviceState(state: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(state, 0, 0, 0, 0, 0, 0, 0);
}

/** A write of a register, so that the device gets somewhere. */
const register = fc.record({
  kind: fc.constant('register' as const),
  offset: fc.oneof(fc.constantFrom(0x14, 0x16, 0x18, 0x1c, 0x20, 0x28, 0x30, 0x3000), fc.nat(0x3fff)),
  value: fc.oneof(fc.constantFrom(0, 1, 3, 0x0b, 0x0f, 0x1f, 0x1000, 0x2000), fc.nat(0xffff_ffff)),
  width: fc.constantFrom(1 as const, 2 as const, 4 as const),
});

const bytes = fc.record({ kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }) });
const step = fc.oneof(
  { weight: 48, arbitrary: request },
  { weight: 24, arbitrary: register },
  { weight: 1, arbitrary: bytes },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What is sent for a step, and which descriptors go along. */
function messageOf(given: Step, id: number): { bytes: Uint8Array; fds: readonly number[]; isAnswered: boolean } {
  if (given.kind === 'bytes') return { bytes: given.bytes, fds: [], isAnswered: false };
  if (given.kind === 'register') {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, given.value, true);
    const fields = { offset: given.offset, region: 4, count: given.width };
    const encoded = encodeRequest(id, 'regionWrite', fields, { data: data.subarray(0, given.width) });
    return { bytes: encoded, fds: [], isAnswered: true };
  }
  const { request: struct, code } = given.command;
  const body = new Uint8Array(struct.bytes + given.data.length);
  (struct as Struct<Fields>).write(new DataView(body.buffer), given.fields);
  body.set(given.data, struct.bytes);
  const message = Buffer.concat([encodeError({ id, code }, 0), body]);
  const head = { id, code, size: message.length, flags: given.flags, error: 0 };
  header.write(new DataView(message.buffer, message.byteOffset), head);
  return { bytes: message, fds: given.fds, isAnswered: given.flags === 0 };
}

/** Plays a session; every request that makes a whole message is answered, in its order, while the session lasts. */
async function play(
  client: RawClient,
  steps: readonly Step[],
  kinds: readonly number[],
  succeeded: Set<string>,
): Promise<void> {
  client.send(encodeRequest(0, 'version', { major: 0, minor: 1 }));
  expect((await client.reply())!.header.error).toBe(0);
  for (const [n, given] of steps.entries()) {
    const message = messageOf(given, n + 1);
    try {
      client.send(
        message.bytes,
        message.fds.map((kind) => kinds[kind]!),
      );
    } catch {
      // The server has ended the session.
      return;
    }
    // From then on nobody knows where a message begins.
    if (given.kind === 'bytes') return;
    if (!message.isAnswered) continue;
    const reply = await client.reply();
    expect(reply?.header.id).toBe(n + 1);
    expect((reply!.header.flags & MessageFlag.ERROR) === 0).toBe(reply!.header.error === 0);
    if (given.kind === 'request' && reply!.header.error === 0) succeeded.add(given.command.name);
  }
}

it(`a client may say anything (seed ${RUNS.seed})`, async () => {
  const kinds = openKinds();
  const rig = new VfioRig();
  const before = openFds();
  const maps = sharedMaps();
  let sessions = 0;
  /** What was asked for so that it could be done, at least once. */
  const succeeded = new Set<string>();
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), async (steps) => {
        const client = rig.connect();
        try {
          await play(client, steps, kinds.fds, succeeded);
        } finally {
          client.close();
        }
        sessions++;
        await expect.poll(() => rig.server.status.connected, { interval: 1 }).toBe(false);
        await expect.poll(() => rig.server.status.dmaRegions, { interval: 1 }).toBe(0);
        expect([openFds(), sharedMaps()]).toEqual([before, maps]);
        expect(rig.memory.regions).toEqual([]);
      }),
      RUNS,
    );
    expect(rig.server.status.sessions).toBe(sessions);
    reportSessions('vfio-user', { sessions, fds: before, maps });
    const often = ['dmaUnmap', 'dmaMap', 'setIrqs', 'regionInfo', 'regionRead', 'regionWrite', 'feature', 'reset'];
    expect([...succeeded]).toEqual(expect.arrayContaining(often));
    // And after all of them it serves one that makes sense.
    const client = await rig.openClient();
    await client.reset();
    const transport = await PciDriverTransport.open(client);
    const driver = new BlockDriver(transport, new GuestAllocator(client.memory, 0x1000, 1 << 20));
    await driver.initialize();
    expect(await driver.read(0, 512)).toHaveLength(512);
    expect(await client.readConfig(Region.BAR0, 2)).toBe(0x1af4);
  } finally {
    await rig.close();
    kinds.close();
  }
}, 3_600_000);
