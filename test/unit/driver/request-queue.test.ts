import { expect, it } from 'vitest';
import { type QueuedRequest, RequestQueue } from '../../../src/driver/request-queue.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { SplitDeviceQueue } from '../../../src/queue/split-device-queue.ts';
import { SplitDriverQueue } from '../../../src/queue/split-driver-queue.ts';
import { settle } from '../../support/fake-clock.ts';

const PLAIN = { indirect: false, eventIdx: false };

interface Rig {
  readonly queue: RequestQueue;
  readonly log: string[];
  readonly allocator: GuestAllocator;
  /** Other rings, which the device serves from now on. */
  next(size: number): SplitDriverQueue;
  request(name: string, buffers: number): QueuedRequest;
  /** The device uses everything that it was shown. */
  serve(): number;
}

/** A queue of four descriptors. */
function makeRig(): Rig {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  const allocator = new GuestAllocator(memory, 0x1000, 0x3000);
  const ring = new SplitDriverQueue(allocator, 4, PLAIN);
  let device = new SplitDeviceQueue(memory, ring.layout, PLAIN);
  const log: string[] = [];
  const queue = new RequestQueue(0, ring, () => log.push('kick'));
  return {
    queue,
    log,
    allocator,
    next: (size) => {
      const next = new SplitDriverQueue(allocator, size, PLAIN);
      device = new SplitDeviceQueue(memory, next.layout, PLAIN);
      return next;
    },
    request: (name, buffers) => {
      const list = new BufferList();
      for (let n = 0; n < buffers; n++) list.addReadable(0x100 * n, 16);
      return { buffers: list, used: () => log.push(`${name} used`), lost: () => log.push(`${name} lost`) };
    },
    serve: () => {
      let served = 0;
      for (let chain = device.take(); chain !== undefined; chain = device.take(), served++) device.complete(chain, 0);
      device.publish();
      return served;
    },
  };
}

it('requests of one turn are exposed together, and kicked once', async () => {
  const { queue, log, request, serve } = makeRig();
  for (const name of ['a', 'b', 'c']) queue.submit(request(name, 1));
  expect(serve()).toBe(0);
  await settle();
  expect(log).toEqual(['kick']);
  expect(serve()).toBe(3);
  queue.collect();
  expect(log).toEqual(['kick', 'a used', 'b used', 'c used']);
});

it('requests that wait for room keep their order', async () => {
  const { queue, log, request, serve } = makeRig();
  queue.submit(request('a', 3));
  queue.submit(request('b', 2));
  queue.submit(request('c', 1));
  await settle();
  for (let round = 0; round < 3; round++) {
    serve();
    queue.collect();
    await settle();
  }
  expect(queue.outstanding).toBe(0);
  expect(log.filter((line) => line !== 'kick')).toEqual(['a used', 'b used', 'c used']);
});

it('a request that fits no queue is its caller’s mistake at once, also while others wait for room', async () => {
  const { queue, log, request, serve } = makeRig();
  expect(() => queue.submit(request('too long', 5))).toThrow(RangeError);
  queue.submit(request('a', 3));
  queue.submit(request('b', 3));
  expect(() => queue.submit(request('too long', 5))).toThrow(RangeError);
  expect(() => queue.submit(request('empty', 0))).toThrow(RangeError);
  await settle();
  for (let n = 0; n < 2; n++) {
    expect(serve()).toBe(1);
    queue.collect();
    await settle();
  }
  expect(log.filter((line) => line !== 'kick')).toEqual(['a used', 'b used']);
});

it('nothing is exposed or kicked while it is held; all of it is when it is let go', async () => {
  const { queue, log, request, serve } = makeRig();
  queue.submit(request('a', 1));
  queue.hold();
  queue.submit(request('b', 1));
  await settle();
  expect(log).toEqual([]);
  expect(serve()).toBe(0);
  queue.letGo();
  expect(log).toEqual(['kick']);
  expect(serve()).toBe(2);
});

it('when it is let go with nothing out it is not kicked', async () => {
  const { queue, log } = makeRig();
  queue.hold();
  queue.letGo();
  await settle();
  expect(log).toEqual([]);
});

it('with other rings it loses what was out and what is too long for them, in order; the rest goes on when it is let go', async () => {
  const { queue, log, allocator, next, request, serve } = makeRig();
  const free = allocator.freeBytes;
  for (const [name, buffers] of Object.entries({ a: 2, b: 2, c: 4, d: 2, e: 1 })) queue.submit(request(name, buffers));
  await settle();
  queue.hold();
  log.length = 0;
  queue.replace(next(2), new Error('reset'));
  expect(log).toEqual(['a lost', 'b lost', 'c lost']);
  expect([queue.size, queue.outstanding]).toEqual([2, 2]);
  expect(() => queue.submit(request('too long', 3))).toThrow(/1 to 2 buffers in this queue, not 3/);
  await settle();
  expect(serve()).toBe(0);
  queue.letGo();
  for (let n = 0; n < 2; n++) {
    expect(serve()).toBe(1);
    queue.collect();
    await settle();
  }
  expect(log.filter((line) => line !== 'kick').slice(3)).toEqual(['d used', 'e used']);
  expect(queue.outstanding).toBe(0);
  queue.replace(next(4), new Error('reset again'));
  expect(log.filter((line) => line.endsWith('lost'))).toHaveLength(3);
  expect(allocator.freeBytes).toBe(free);
});

it('after it was abandoned nothing is shown to the device, and its memory is given back only when that is asked for', async () => {
  const { queue, log, allocator, request, serve } = makeRig();
  const free = allocator.freeBytes;
  queue.abandon(new Error('gone'));
  queue.submit(request('a', 1));
  await settle();
  expect([serve(), queue.outstanding, log]).toEqual([0, 1, []]);
  expect(allocator.freeBytes).toBe(free);
  queue.release();
  expect(allocator.freeBytes).toBeGreaterThan(free);
});

it('abandoned, it loses what is out, what is not exposed yet and what waits, once', async () => {
  const { queue, log, request } = makeRig();
  queue.submit(request('a', 2));
  await settle();
  queue.submit(request('b', 2));
  queue.submit(request('c', 1));
  log.length = 0;
  queue.abandon(new Error('gone'));
  queue.abandon(new Error('gone again'));
  await settle();
  expect(log).toEqual(['a lost', 'b lost', 'c lost']);
});
