import { expect, it } from 'vitest';
import type { Chain } from '../../../src/queue/chain.ts';
import type { QueueState } from '../../../src/queue/device-queue.ts';
import { SplitDeviceQueue } from '../../../src/queue/split-device-queue.ts';
import { ProtocolError, StateError } from '../../../src/spec/fault.ts';
import { BUFFER, hostileQueue, MEMORY_BYTES, QUEUE_SIZE } from '../../support/hostile-rings.ts';
import { INDIRECT, NEXT, type RawQueue, WRITE } from '../../support/raw-queue.ts';

const TABLE = 0xa008;
const FAR = 2 ** 40;

function deviceEnd(raw: RawQueue, state?: QueueState): SplitDeviceQueue {
  return new SplitDeviceQueue(raw.memory, raw.layout, { indirect: true, eventIdx: true }, state);
}

function parts(chain: Chain | undefined): number[] {
  return [chain!.segments, chain!.readableBytes, chain!.writableBytes];
}

it('takes plain descriptors that end in an indirect one (§2.7.5.3.2)', () => {
  const raw = hostileQueue();
  raw
    .descriptor(1, { address: BUFFER, length: 3, flags: NEXT, next: 5 })
    .descriptor(5, { address: TABLE, length: 48, flags: INDIRECT })
    .entry(TABLE, 0, { address: BUFFER, length: 5, flags: NEXT, next: 2 })
    .entry(TABLE, 2, { address: BUFFER, length: 7, flags: WRITE })
    .offer(1);
  expect(parts(deviceEnd(raw).take())).toEqual([3, 8, 7]);
});

it('ignores WRITE on the descriptor of an indirect table (§2.7.5.3.2)', () => {
  const raw = hostileQueue();
  raw
    .descriptor(1, { address: TABLE, length: 16, flags: INDIRECT | WRITE })
    .entry(TABLE, 0, { address: BUFFER, length: 5 })
    .offer(1);
  expect(parts(deviceEnd(raw).take())).toEqual([1, 5, 0]);
});

it('takes a chain as long as the queue, direct and indirect', () => {
  const raw = hostileQueue();
  for (let n = 0; n < QUEUE_SIZE; n++) {
    const rest = { address: BUFFER + n, length: 1, flags: n === QUEUE_SIZE - 1 ? WRITE : NEXT };
    raw.descriptor(n, { ...rest, next: n + 1 }).entry(TABLE, n, { ...rest, next: n + 1 });
  }
  const queue = deviceEnd(raw.offer(0));
  const chain = queue.take()!;
  expect(parts(chain)).toEqual([QUEUE_SIZE, QUEUE_SIZE - 1, 1]);
  queue.complete(chain, 0);
  raw.descriptor(0, { address: TABLE, length: 16 * QUEUE_SIZE, flags: INDIRECT }).offer(0);
  expect(parts(queue.take())).toEqual([QUEUE_SIZE, QUEUE_SIZE - 1, 1]);
});

it('takes empty descriptors anywhere, wherever they point', () => {
  const raw = hostileQueue();
  raw
    .descriptor(1, { address: 2n ** 64n - 1n, length: 0, flags: NEXT | WRITE, next: 2 })
    .descriptor(2, { address: BUFFER, length: 4, flags: NEXT, next: 3 })
    .descriptor(3, { address: 2n ** 53n, length: 0 })
    .offer(1);
  expect(parts(deviceEnd(raw).take())).toEqual([1, 4, 0]);
});

it('takes buffers up to the last byte of every region', () => {
  const raw = hostileQueue();
  raw
    .descriptor(1, { address: MEMORY_BYTES - 4, length: 4, flags: NEXT, next: 2 })
    .descriptor(2, { address: FAR + 0xff0, length: 0x10, flags: NEXT | WRITE, next: 3 })
    .descriptor(3, { address: 0, length: MEMORY_BYTES, flags: WRITE })
    .offer(1);
  expect(parts(deviceEnd(raw).take())).toEqual([3, 4, 0x10 + MEMORY_BYTES]);
});

it('finds its areas again after a region came, went or was replaced', () => {
  const raw = hostileQueue().offer(0).offer(0);
  const queue = deviceEnd(raw);
  const [low, far] = raw.memory.regions;
  const chain = queue.take()!;
  raw.memory.remove(far!);
  const copy = low!.bytes.slice();
  low!.bytes.fill(0);
  raw.memory.replace(low!, copy);
  queue.complete(chain, 5);
  queue.complete(queue.take()!, 6);
  queue.publish();
  expect([raw.usedIndex, raw.used(0), raw.used(1)]).toEqual([2, { id: 0, length: 5 }, { id: 0, length: 6 }]);
});

it('gives back what it took, whatever the driver did to the ring meanwhile', () => {
  const raw = hostileQueue();
  raw.descriptor(3, { address: BUFFER, length: 1, flags: WRITE }).offer(0).offer(3);
  const queue = deviceEnd(raw);
  queue.take();
  const chain = queue.take()!;
  raw.setRing(1, 6);
  queue.giveBack(chain);
  raw.setRing(1, 3);
  expect(queue.take()?.id).toBe(3);
});

it('does not give back a chain with the number of the last one, in place of it', () => {
  const raw = hostileQueue().offer(0).offer(0);
  const queue = deviceEnd(raw);
  const first = queue.take()!;
  const last = queue.take()!;
  expect(() => queue.giveBack(first)).toThrow(RangeError);
  queue.giveBack(last);
  queue.giveBack(first);
  expect(queue.taken).toBe(0);
  expect(queue.save()).toMatchObject({ availableNext: 0 });
});

it('refuses more written bytes than the chain has room for', () => {
  const queue = deviceEnd(hostileQueue().offer(0));
  const chain = queue.take()!;
  for (const written of [33, -1, 2 ** 32, Number.NaN, 1.5]) {
    expect(() => queue.complete(chain, written)).toThrow(RangeError);
  }
  queue.complete(chain, 32);
  expect(() => queue.complete(chain, 32), 'handed back before').toThrow(RangeError);
});

it('tells of every range that it wrote, after it wrote it', () => {
  const raw = hostileQueue().offer(0).offer(0);
  const { bytes } = raw.memory.regions[0]!;
  const known = bytes.slice();
  raw.memory.onWrite = (address, length) => known.set(bytes.subarray(address, address + length), address);
  const queue = deviceEnd(raw);
  expect(queue.arm()).toBe(true);
  expect(Buffer.compare(known, bytes)).toBe(0);
  const chain = queue.take()!;
  chain.write(3, Uint8Array.of(1, 2, 3), 0, 3);
  chain.writeU8(31, 9);
  expect(Buffer.compare(known, bytes)).toBe(0);
  queue.complete(chain, 32);
  queue.publish();
  expect(Buffer.compare(known, bytes)).toBe(0);
  queue.arm();
  expect(Buffer.compare(known, bytes)).toBe(0);
});

it('refuses positions that no queue at rest has', () => {
  const good = { format: 'split', availableNext: 7, usedNext: 7 } as const;
  const bad: unknown[] = [
    { ...good, format: 'packed' },
    { ...good, availableNext: 8 },
    { ...good, usedNext: 65543 },
    { format: 'split', availableNext: 65536, usedNext: 65536 },
    { format: 'split', availableNext: -1, usedNext: -1 },
    { format: 'split', availableNext: 0.5, usedNext: 0.5 },
    { format: 'split' },
  ];
  const raw = hostileQueue();
  for (const state of bad) expect(() => deviceEnd(raw, state as QueueState)).toThrow(StateError);
  expect(() => deviceEnd(raw, good)).not.toThrow();
});

it('throws the same kind of error for each mistake of a driver', () => {
  const raw = hostileQueue().offer(99);
  expect(() => deviceEnd(raw).take()).toThrow(ProtocolError);
  expect(() => deviceEnd(raw).take()).toThrow('the available ring names descriptor 99 of 8 [split.driver.avail.head]');
});
