import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readFileSync, readSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type CommandName,
  commands,
  decode,
  encodeRequest,
  MessageFlag,
  MOST_MESSAGE_BYTES,
  Region,
  type Request,
  SetIrqs,
  writeEntry,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type RawClient, type RawReply, VfioRig } from './vfio-rig.ts';

const PAGE = 4096;
const EINVAL = 22;
const EEXIST = 17;
const ENOENT = 2;
const ENOTTY = 25;
const EIO = 5;
const ENOSPC = 28;

let rig: VfioRig;
let client: RawClient;
let fdsBefore: number;
let ids = 0;
beforeEach(async () => {
  fdsBefore = openFds();
  rig = new VfioRig();
  client = rig.connect();
  expect((await ask('version', { major: 0, minor: 1 })).header.flags).toBe(MessageFlag.REPLY);
});
afterEach(async () => {
  await rig.close();
  expect(openFds()).toBe(fdsBefore);
});

interface Sent {
  readonly data?: Uint8Array;
  readonly fds?: readonly number[];
  readonly from?: RawClient;
}

async function ask<Name extends CommandName>(
  name: Name,
  fields: Request<Name>,
  { data, fds = [], from = client }: Sent = {},
): Promise<RawReply> {
  const id = ids++ & 0xffff;
  const bytes = encodeRequest(id, name, fields, data === undefined ? {} : { data });
  expect(from.send(bytes, fds)).toBe(bytes.length);
  const reply = (await from.reply())!;
  expect(reply.header).toMatchObject({ id, code: commands[name].code });
  return reply;
}

/** The error that a request is answered with; 0 for none. */
async function errorOf<Name extends CommandName>(name: Name, fields: Request<Name>, sent?: Sent): Promise<number> {
  const { header: head, body } = await ask(name, fields, sent);
  expect(body.length === 0 || head.error === 0).toBe(true);
  return head.error;
}

/** Sends bytes and expects the connection to be ended for them, and the next client to be served. */
async function expectEnd(bytes: Uint8Array, fds: readonly number[] = []): Promise<void> {
  client.send(bytes, fds);
  expect(await client.reply()).toBeUndefined();
  expect(rig.events.at(-1)).toMatchObject({ kind: 'disconnected', error: expect.any(Error) });
  const next = rig.connect();
  expect((await ask('version', { major: 0, minor: 0 }, { from: next })).header.error).toBe(0);
}

const map = (more: Partial<Request<'dmaMap'>> = {}): Request<'dmaMap'> => {
  return { argsz: 32, flags: 3, offset: 0, address: 0, size: PAGE, ...more };
};
const unmap = (address: number, size: number): Request<'dmaUnmap'> => ({ argsz: 24, flags: 0, address, size });

/** Runs `action` with a file of `bytes`. */
async function withFile(bytes: number, action: (fd: number) => Promise<void>): Promise<void> {
  const fd = memfd(bytes);
  try {
    await action(fd);
  } finally {
    closeFd(fd);
  }
}

describe('a message', () => {
  it('that says to be shorter than its header, or larger than any, ends the session', async () => {
    for (const size of [0, 15, MOST_MESSAGE_BYTES + 1, 0xffff_ffff]) {
      const bytes = encodeRequest(0, 'reset', {});
      new DataView(bytes.buffer).setUint32(4, size, true);
      await expectEnd(bytes);
      await rig.close();
      rig = new VfioRig();
      client = rig.connect();
      await ask('version', { major: 0, minor: 1 });
    }
  });

  it('that ends in the middle ends the session', async () => {
    const bytes = encodeRequest(0, 'regionRead', { offset: 0, region: Region.CONFIG, count: 4 });
    client.send(bytes.subarray(0, 20));
    client.close();
    await expect
      .poll(() => rig.events.at(-1))
      .toMatchObject({
        kind: 'disconnected',
        error: { message: 'vfio-user ended within a message' },
      });
  });

  it('that comes in pieces is one', async () => {
    const bytes = encodeRequest(3, 'regionRead', { offset: 0, region: Region.CONFIG, count: 2 });
    for (const byte of bytes) {
      client.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { values, data } = decode(commands.regionRead.reply, (await client.reply())!.body)!;
    expect(values.count).toBe(2);
    expect([...data]).toEqual([0xf4, 0x1a]);
  });

  it('that is none, or too short, or of the server, is refused', async () => {
    const unknown = encodeRequest(9, 'reset', {});
    new DataView(unknown.buffer).setUint16(2, 99, true);
    client.send(unknown);
    expect((await client.reply())!.header).toMatchObject({ id: 9, code: 99, flags: 0x21, error: ENOTTY });
    const short = encodeRequest(10, 'dmaMap', map()).subarray(0, 40);
    new DataView(short.buffer).setUint32(4, 40, true);
    client.send(short);
    expect((await client.reply())!.header).toMatchObject({ id: 10, error: EINVAL });
    expect(await errorOf('dmaRead', { address: 0, count: 8 })).toBe(ENOTTY);
    expect(await errorOf('regionIoFds', { argsz: 16, flags: 0, index: 0, count: 0 })).toBe(ENOTTY);
    expect(await errorOf('version', { major: 0, minor: 1 })).toBe(EINVAL);
  });

  it('that wants no reply gets none, not even when it is refused, and one that is a reply neither', async () => {
    client.send(
      encodeRequest(
        1,
        'regionInfo',
        { argsz: 32, flags: 0, index: 99, capabilities: 0, size: 0, offset: 0 },
        { flags: MessageFlag.NO_REPLY },
      ),
    );
    client.send(encodeRequest(2, 'reset', {}, { flags: MessageFlag.REPLY }));
    expect(await errorOf('reset', {})).toBe(0);
  });

  it('before the version is refused', async () => {
    client.close();
    await expect.poll(() => rig.server.status.connected).toBe(false);
    client = rig.connect();
    expect(await errorOf('reset', {})).toBe(EINVAL);
    expect(await errorOf('version', { major: 1, minor: 0 })).toBe(EINVAL);
    expect(await errorOf('version', { major: 0, minor: 0 }, { data: Buffer.from('{"capabilities":7}\0') })).toBe(
      EINVAL,
    );
    const { body } = await ask('version', { major: 0, minor: 5 });
    expect(decode(commands.version.reply, body)!.values).toEqual({ major: 0, minor: 1 });
  });
});

describe('descriptors', () => {
  it('that nobody wants are closed', async () => {
    await withFile(PAGE, async (fd) => {
      const before = openFds();
      expect(await errorOf('reset', {}, { fds: [fd, fd, fd] })).toBe(0);
      expect(await errorOf('dmaMap', map(), { fds: [fd, fd] })).toBe(EINVAL);
      expect(openFds()).toBe(before);
    });
  });

  it('of the wrong kind are refused', async () => {
    const [near, far] = UnixSocket.pair();
    const event = EventFd.create();
    const directory = openSync(rig.folder, 'r');
    const device = openSync('/dev/zero', 'r+');
    for (const fd of [near.fd, event.fd, directory, device]) {
      expect(await errorOf('dmaMap', map(), { fds: [fd] })).toBe(EINVAL);
    }
    for (const fd of [near.fd, directory, device]) {
      const set = { argsz: 20, flags: SetIrqs.EVENTFD | SetIrqs.TRIGGER, index: 2, start: 0, count: 1 };
      expect(await errorOf('setIrqs', set, { fds: [fd] })).toBe(EINVAL);
      expect(await errorOf('setIrqs', { ...set, index: 0 }, { fds: [fd] })).toBe(EINVAL);
    }
    near.close();
    far.close();
    event.close();
    closeSync(directory);
    closeSync(device);
    expect(rig.server.status.dmaRegions).toBe(0);
  });

  it('that come in pieces, too many for one message, end the session and are closed', async () => {
    await withFile(PAGE, async (fd) => {
      const before = openFds();
      const bytes = encodeRequest(0, 'reset', {});
      for (let n = 0; n < 15; n++) client.send(bytes.subarray(n, n + 1), [fd, fd]);
      expect(await client.reply()).toBeUndefined();
      client.close();
      await expect.poll(() => openFds()).toBe(before - 2);
    });
  });
});

describe('a map of memory', () => {
  it('is refused when it is no pages, nothing, beyond what a file has, or beyond all addresses', async () => {
    await withFile(4 * PAGE, async (fd) => {
      const wrong: Partial<Request<'dmaMap'>>[] = [
        { size: 0 },
        { size: 100 },
        { address: 100 },
        { offset: 100 },
        { flags: 0 },
        { flags: 2 },
        { flags: 7 },
        { address: 2 ** 53 },
        { address: 2 ** 53 - PAGE, size: 2 * PAGE },
        { offset: 2 ** 53 },
        { size: 2 ** 63 },
      ];
      for (const fields of wrong)
        expect(await errorOf('dmaMap', map(fields), { fds: [fd] }), JSON.stringify(fields)).toBe(EINVAL);
      expect(await errorOf('dmaMap', map({ size: 5 * PAGE }), { fds: [fd] })).toBe(EIO);
      expect(await errorOf('dmaMap', map({ size: 2 ** 34 }), { fds: [fd] })).toBe(EIO);
      expect(await errorOf('dmaMap', map({ size: 2 ** 42 }), { fds: [fd] })).toBe(ENOSPC);
      expect(await errorOf('dmaMap', map({ offset: 4 * PAGE }), { fds: [fd] })).toBe(EIO);
    });
    expect(rig.server.status).toMatchObject({ dmaRegions: 0, mappedBytes: 0 });
    expect(rig.memory.regions).toEqual([]);
  });

  it('is refused over another one, and taken away only as it came', async () => {
    await withFile(4 * PAGE, async (fd) => {
      expect(await errorOf('dmaMap', map({ address: PAGE, size: 2 * PAGE }), { fds: [fd] })).toBe(0);
      for (const address of [0, PAGE, 2 * PAGE]) {
        expect(await errorOf('dmaMap', map({ address, size: 2 * PAGE }), { fds: [fd] })).toBe(EEXIST);
        expect(await errorOf('dmaMap', map({ address, size: 2 * PAGE }))).toBe(EEXIST);
      }
      expect(await errorOf('dmaUnmap', unmap(PAGE, PAGE))).toBe(ENOENT);
      expect(await errorOf('dmaUnmap', unmap(0, 2 * PAGE))).toBe(ENOENT);
      expect(rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 2 * PAGE });
      const { header: head, body } = await ask('dmaUnmap', unmap(PAGE, 2 * PAGE));
      expect(head.error).toBe(0);
      expect(decode(commands.dmaUnmap.reply, body)!.values).toEqual(unmap(PAGE, 2 * PAGE));
      expect(rig.server.status).toMatchObject({ dmaRegions: 0, mappedBytes: 0 });
    });
  });

  it('shows the client’s memory, and no longer when it was taken away', async () => {
    await withFile(PAGE, async (fd) => {
      await ask('dmaMap', map({ address: 0x10000 }), { fds: [fd] });
      const region = rig.memory.find(0x10000, PAGE)!;
      expect(region.shared).toBe(true);
      const { bytes } = region;
      bytes[7] = 9;
      expect(readFileSync(`/proc/self/fd/${fd}`)[7]).toBe(9);
      await ask('dmaUnmap', unmap(0x10000, PAGE));
      expect(rig.memory.find(0x10000, PAGE)).toBeUndefined();
      // A view that somebody has kept sees nothing any more, and does no harm.
      expect(bytes[7]).toBe(0);
      bytes[8] = 1;
    });
  });

  it('of more than 4 GiB is seen in pieces, cut at multiples of that', async () => {
    const GIB = 2 ** 30;
    await withFile(10 * GIB, async (fd) => {
      const fields = { address: 3 * GIB, offset: PAGE, size: 9 * GIB };
      expect(await errorOf('dmaMap', map(fields), { fds: [fd] })).toBe(0);
      expect(rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 9 * GIB });
      const ends = rig.memory.regions.map(({ address, size }) => [address / GIB, size / GIB]);
      expect(ends).toEqual([
        [3, 1],
        [4, 4],
        [8, 4],
      ]);
      for (const { words, size } of rig.memory.regions) expect(words.length).toBe(size / 2);
      const last = rig.memory.find(12 * GIB - 1, 1)!;
      last.bytes[last.size - 1] = 7;
      const byte = new Uint8Array(1);
      readSync(fd, byte, 0, 1, 9 * GIB + PAGE - 1);
      expect(byte[0]).toBe(7);
      expect(await errorOf('dmaUnmap', unmap(3 * GIB, 9 * GIB))).toBe(0);
      expect(rig.memory.regions).toEqual([]);
    });
  });

  it('without a descriptor is one that the device cannot reach', async () => {
    expect(await errorOf('dmaMap', map({ size: 2 ** 40 }))).toBe(0);
    expect(rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 0 });
    expect(rig.memory.regions).toEqual([]);
    expect(await errorOf('dmaUnmap', unmap(0, 2 ** 40))).toBe(0);
  });

  it('for reading keeps what is written away from the client, and does not end the process', async () => {
    const path = join(rig.folder, 'file');
    const writable = openSync(path, 'w+');
    ftruncateSync(writable, PAGE);
    const fd = openSync(path, 'r');
    expect(await errorOf('dmaMap', map(), { fds: [fd] })).toBe(EIO);
    expect(await errorOf('dmaMap', map({ flags: 1 }), { fds: [fd] })).toBe(0);
    rig.memory.regions[0]!.bytes[0] = 1;
    expect(readFileSync(path)[0]).toBe(0);
    closeSync(fd);
    closeSync(writable);
  });

  it('can be made again and again', async () => {
    await withFile(1 << 22, async (fd) => {
      for (let n = 0; n < 2000; n++) {
        const size = PAGE * (1 + (n % 1000));
        expect(await errorOf('dmaMap', map({ address: n * PAGE, size }), { fds: [fd] })).toBe(0);
        expect(await errorOf('dmaUnmap', unmap(n * PAGE, size))).toBe(0);
      }
    });
  });
});

describe('an access', () => {
  it('outside of its region, or of a width that there is not, is refused', async () => {
    const wrong: Partial<Request<'regionRead'>>[] = [
      { region: 0 },
      { region: 6 },
      { region: 9 },
      { region: 0xffff_ffff },
      { offset: 0x4000 },
      { offset: 0x3ffe, count: 4 },
      { offset: 2 ** 63 },
      { count: 0 },
      { count: 3 },
      { count: 16 },
      { count: 0xffff_ffff },
      { region: Region.CONFIG, offset: 255, count: 2 },
      { region: Region.CONFIG, offset: 256, count: 1 },
    ];
    for (const fields of wrong) {
      const access = { offset: 0, region: 4, count: 4, ...fields };
      expect(await errorOf('regionRead', access), JSON.stringify(fields)).toBe(EINVAL);
      const data = new Uint8Array(Math.min(access.count, 64));
      expect(await errorOf('regionWrite', access, { data }), JSON.stringify(fields)).toBe(EINVAL);
    }
    const data = new Uint8Array(3);
    expect(await errorOf('regionWrite', { offset: 0, region: 4, count: 4 }, { data })).toBe(EINVAL);
  });

  it('of all of configuration space at once reads no register behind its window', async () => {
    const reads: string[] = [];
    rig.fn.onAccess = ({ register }) => reads.push(register);
    const { body } = await ask('regionRead', { offset: 0, region: Region.CONFIG, count: 256 });
    expect(decode(commands.regionRead.reply, body)!.data).toEqual(rig.fn.configSpace.slice());
    expect(reads).toEqual([]);
  });

  it('of many in one is done in order, and as far as it makes sense', async () => {
    const entry = (offset: number, count: number, low: number): Uint8Array => {
      const bytes = new Uint8Array(writeEntry.bytes);
      writeEntry.write(new DataView(bytes.buffer), { offset, region: 4, count, low, high: 0 });
      return bytes;
    };
    const written: number[] = [];
    rig.fn.onAccess = ({ value }) => written.push(value);
    const three = [entry(22, 2, 5), entry(20, 1, 1), entry(0, 4, 1)];
    const { header: head, body } = await ask('regionWriteMulti', { count: 3 }, { data: Buffer.concat(three) });
    expect([head.error, decode(commands.regionWriteMulti.reply, body)!.values]).toEqual([0, { count: 3 }]);
    expect(written).toEqual([5, 1, 1]);
    expect(await errorOf('regionWriteMulti', { count: 2 }, { data: Buffer.concat(three) })).toBe(EINVAL);
    expect(await errorOf('regionWriteMulti', { count: 2 ** 60 }, { data: Buffer.concat(three) })).toBe(EINVAL);
    const wrong = Buffer.concat([entry(22, 2, 6), entry(0, 9, 0), entry(22, 2, 7)]);
    expect(await errorOf('regionWriteMulti', { count: 3 }, { data: wrong })).toBe(EINVAL);
    expect(written).toEqual([5, 1, 1, 6]);
  });
});

describe('interrupts', () => {
  it('that there are not cannot be set', async () => {
    const trigger = SetIrqs.EVENTFD | SetIrqs.TRIGGER;
    const set = { argsz: 20, flags: trigger, index: 2, start: 0, count: 1 };
    const wrong: (readonly [Partial<Request<'setIrqs'>>, number])[] = [
      [{ flags: 0 }, EINVAL],
      [{ flags: SetIrqs.EVENTFD }, EINVAL],
      [{ flags: SetIrqs.EVENTFD | SetIrqs.BOOL | SetIrqs.TRIGGER }, EINVAL],
      [{ flags: trigger | SetIrqs.MASK }, EINVAL],
      [{ flags: 0xffff_ffff }, EINVAL],
      [{ flags: SetIrqs.BOOL | SetIrqs.TRIGGER }, EINVAL],
      [{ flags: SetIrqs.NONE | SetIrqs.MASK }, ENOTTY],
      [{ flags: SetIrqs.EVENTFD | SetIrqs.MASK }, ENOTTY],
      [{ flags: SetIrqs.NONE | SetIrqs.MASK, count: 0 }, EINVAL],
      [{ index: 1 }, EINVAL],
      [{ index: 5 }, EINVAL],
      [{ start: 2 }, EINVAL],
      [{ count: 3 }, EINVAL],
      [{ start: 0xffff_ffff, count: 0xffff_ffff }, EINVAL],
    ];
    for (const [fields, error] of wrong) {
      expect(await errorOf('setIrqs', { ...set, ...fields }), JSON.stringify(fields)).toBe(error);
    }
    const event = EventFd.create();
    expect(await errorOf('setIrqs', { ...set, count: 2 }, { fds: [event.fd] })).toBe(EINVAL);
    expect(await errorOf('setIrqs', set, { fds: [event.fd, event.fd] })).toBe(EINVAL);
    event.close();
  });
});

describe('a client', () => {
  it('that does not read its replies is not listened to, and costs no memory', async () => {
    const bytes = encodeRequest(0, 'regionRead', { offset: 0, region: Region.CONFIG, count: 256 });
    const many = Buffer.concat(Array.from({ length: 64 }, () => bytes));
    let refused = 0;
    let unsent = new Uint8Array(0);
    // Until the server has read nothing for a while: both buffers of the socket are full.
    while (refused < 20) {
      const next = unsent.length > 0 ? unsent : many;
      const sent = client.send(next);
      unsent = next.subarray(sent);
      refused = sent === 0 ? refused + 1 : 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // All of it is answered when it reads at last.
    expect((await client.reply())!.header.error).toBe(0);
    client.close();
    await expect.poll(() => rig.server.status.connected).toBe(false);
  });

  it('that goes away with a reply on its way to it is forgotten', async () => {
    const asked = encodeRequest(4, 'regionRead', { offset: 0, region: Region.CONFIG, count: 2 });
    client.send(asked);
    client.close();
    await expect.poll(() => rig.events.at(-1)?.kind).toBe('disconnected');
    expect(rig.server.status.connected).toBe(false);
  });

  it('that will send no more, and only reads, is answered and done', async () => {
    client.close();
    await expect.poll(() => rig.server.status.connected).toBe(false);
    const half = connect({ path: rig.server.path, allowHalfOpen: true });
    const chunks: Uint8Array[] = [];
    half.on('data', (chunk) => chunks.push(chunk));
    half.end(encodeRequest(4, 'version', { major: 0, minor: 0 }));
    await once(half, 'end');
    expect(Buffer.concat(chunks).readUInt16LE(0)).toBe(4);
    expect(rig.events.at(-1)).toEqual({ kind: 'disconnected', error: undefined });
    half.destroy();
    await once(half, 'close');
  });

  it('that is the second one is turned away, and the first one is served on', async () => {
    const second = rig.connect();
    expect(await second.reply()).toBeUndefined();
    expect(rig.events.at(-1)).toEqual({ kind: 'refused', reason: 'the function has a client already' });
    expect(await errorOf('reset', {})).toBe(0);
  });
});
