/** Back-ends that are killed while two queues are at work: the next one does again what was not done, in the order in which it was taken. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BlockFeature } from '../../../../src/devices/block/layout.ts';
import { u64 } from '../../../../src/hosts/vhost-user/message-reader.ts';
import { Feature, featureSet } from '../../../../src/spec/features.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type Format, HandFrontEnd, type HandRequest, region } from './hand-front-end.ts';

const RING_SIZE = 64;
const MEMORY_BYTES = 1 << 20;
/** Sectors of the second queue are so much further on. */
const SECOND = 1000;
const DATA = 0x8_0000;

let folder: string;
let path: string;
let fdsBefore: number;
let memory: number;
let front: HandFrontEnd | undefined;
const children: ChildProcess[] = [];
beforeEach(() => {
  fdsBefore = openFds();
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  path = join(folder, 'socket');
  memory = memfd(MEMORY_BYTES);
});
afterEach(async () => {
  front?.close();
  front = undefined;
  for (const child of children.splice(0)) await kill(child);
  closeFd(memory);
  rmSync(folder, { recursive: true });
  await expect.poll(openFds).toBe(fdsBefore);
});

interface Said {
  readonly sector?: number;
  readonly event?: string;
  readonly queue?: number;
  readonly requests?: number;
}

/** A back-end in a process of its own, and what it says. */
async function serve(...residue: readonly string[]): Promise<{ child: ChildProcess; said: Said[] }> {
  const program = join(import.meta.dirname, 'recording-server.mjs');
  const child = spawn(process.execPath, [program, path, ...residue], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const said: Said[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => said.push(JSON.parse(line)));
  await expect.poll(() => said.at(-1)?.event, { timeout: 15_000 }).toBe('listening');
  return { child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.signalCode !== null || child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

const shape = new DataView(new ArrayBuffer(20));
shape.setUint16(16, 2, true);
shape.setUint16(18, RING_SIZE, true);

/** Tells a back-end that has just been connected what it has to know before the rings. */
async function connect(format: Format): Promise<void> {
  const features = featureSet(
    Feature.VERSION_1,
    BlockFeature.MQ,
    ...(format === 'packed' ? [Feature.RING_PACKED] : []),
  );
  await front!.negotiate(features);
  expect(await front!.shareTable([region(0, MEMORY_BYTES)], [memory])).toBe(true);
}

/** The sectors that came to a queue, in their order. */
function sectors(said: readonly Said[], queue: number): number[] {
  return said
    .flatMap(({ sector }) => sector ?? [])
    .filter((sector) => sector >= SECOND === (queue === 1))
    .map((sector) => sector % SECOND);
}

/** What was resumed of each queue. */
function resumed(said: readonly Said[]): number[] {
  return [0, 1].map((queue) => said.find((each) => each.event === 'resumed' && each.queue === queue)?.requests ?? 0);
}

it.each(['split', 'packed'] as const)('in the order of a %s ring, time after time', async (format: Format) => {
  const requests: HandRequest[][] = [[], []];
  /** The next `count` sectors of both queues, in turn. */
  const offer = (count: number): void => {
    for (let n = 0; n < count; n++) {
      for (const queue of [0, 1]) {
        const sector = requests[queue]!.length;
        const at = 0x1_0000 + queue * 0x1_0000 + sector * 64;
        const position = { sector: queue * SECOND + sector, at, data: [[DATA, 512]] as [number, number][] };
        requests[queue]!.push(front!.request(queue, { type: 'write', ...position }));
      }
    }
  };
  /** The sectors that are out, of either queue. */
  const out = (queue = 0): number[] =>
    requests[queue]!.flatMap(({ status, sector }) => (status === undefined ? [sector % SECOND] : []));

  const first = await serve('2');
  front = new HandFrontEnd(path);
  await connect(format);
  const answer = await front.ask('GET_INFLIGHT_FD', new Uint8Array(shape.buffer));
  const [record] = front.takeFds();
  expect(await front.order('SET_INFLIGHT_FD', answer, [record!])).toBe(true);
  for (const queue of [0, 1]) await front.makeRing(queue, format, RING_SIZE, 0x1000 + queue * 0x4000);
  offer(10);
  await expect.poll(() => front!.collect() && out()).toEqual([0, 1, 3, 4, 5, 7, 8, 9]);
  // These get descriptors that others have had: their numbers say nothing of the order.
  offer(6);
  await expect.poll(() => sectors(first.said, 1).length).toBe(16);
  await expect.poll(() => front!.collect() + out().length).toBe(12);
  await kill(first.child);
  // Nobody takes these before the next one is there.
  offer(2);
  expect(out()).toEqual([0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17]);

  const again = async (...residue: readonly string[]): Promise<Said[]> => {
    const next = await serve(...residue);
    front!.reconnect(path);
    await connect(format);
    expect(await front!.order('SET_INFLIGHT_FD', answer, [record!])).toBe(true);
    for (const queue of [0, 1]) await front!.startRing(queue, format === 'split' ? 0 : 0x8000_8000);
    return next.said;
  };
  const second = await again('3');
  const redone = [0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15];
  await expect.poll(() => sectors(second, 1).length).toBe(14);
  for (const queue of [0, 1]) expect(sectors(second, queue)).toEqual([...redone, 16, 17]);
  expect(resumed(second)).toEqual([12, 12]);
  await expect.poll(() => front!.collect() + out(1).length).toBe(10);
  await kill(children.at(-1)!);

  const left = [0, 1, 4, 5, 8, 9, 12, 13, 16, 17];
  expect(out()).toEqual(left);
  const third = await again();
  await expect.poll(() => front!.collect() + out(0).length + out(1).length).toBe(0);
  for (const queue of [0, 1]) expect(sectors(third, queue)).toEqual(left);
  expect(resumed(third)).toEqual([10, 10]);
  expect(requests.flat().map(({ status }) => status)).toEqual(new Array(36).fill(0));
  // And goes on with what is new.
  offer(3);
  await expect.poll(() => front!.collect() + out(0).length + out(1).length).toBe(0);
  expect(sectors(third, 0).slice(left.length)).toEqual([18, 19, 20]);
  closeFd(record!);
});

it.each(['split', 'packed'] as const)('tells the guest of what was used in a %s ring, but not told', async (format) => {
  const first = await serve();
  front = new HandFrontEnd(path);
  await connect(format);
  const answer = await front.ask('GET_INFLIGHT_FD', new Uint8Array(shape.buffer));
  const [record] = front.takeFds();
  expect(await front.order('SET_INFLIGHT_FD', answer, [record!])).toBe(true);
  for (const queue of [0, 1]) await front.makeRing(queue, format, RING_SIZE, 0x1000 + queue * 0x4000);
  const calls = front.rings.map((ring) => ring!.call);
  expect(
    calls.map((call) => call.take()),
    'nothing was ever used',
  ).toEqual([false, false]);
  const request = front.request(0, { type: 'write', sector: 0, at: 0x1_0000, data: [[DATA, 512]] });
  await expect.poll(() => calls[0]!.take()).toBe(true);
  // The same as when it was killed a moment earlier: the buffer is used, and the guest knows nothing of it.
  await kill(first.child);
  const second = await serve();
  front.reconnect(path);
  await connect(format);
  expect(await front.order('SET_INFLIGHT_FD', answer, [record!])).toBe(true);
  await front.startRing(0, format === 'split' ? 0 : 0x8000_8000);
  await expect.poll(() => calls[0]!.take()).toBe(true);
  expect(front.collect()).toBe(1);
  expect(request.status).toBe(0);
  // QEMU lets the guest's own descriptor follow when the ring runs.
  const late = EventFd.create();
  expect(await front.order('SET_VRING_CALL', u64(0n), [late.fd])).toBe(true);
  await expect.poll(() => late.take()).toBe(true);
  late.close();
  expect(sectors(second.said, 0)).toEqual([]);
  closeFd(record!);
});
