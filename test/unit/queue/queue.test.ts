import { describe, expect, it } from 'vitest';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { type QueueKind, QueuePair, queueKinds } from '../../support/queue-pair.ts';

const sizes = [1, 2, 4, 256, 32768];
/** For what does not depend on the size beyond its being large. */
const small = [1, 2, 4, 256];

/** Descriptors of the ring that a request of the pair takes. */
function perRequest(kind: QueueKind): number {
  return kind.features.indirect ? 1 : 2;
}

function forEachQueue(
  over: readonly number[],
  test: (make: () => QueuePair, size: number, kind: QueueKind) => void,
): () => void {
  return () => {
    for (const kind of queueKinds) {
      for (const size of kind.anySize ? [...over, 3, 7] : over)
        it(`${kind.name}, size ${size}`, () => test(() => new QueuePair(kind, size), size, kind));
    }
  };
}

/** Offers until the queue is full, from `token` on; how many. One buffer each, so that the queue takes `size` of them. */
function fill(pair: QueuePair, token = 0): number {
  let count = 0;
  while (pair.offer(token + count, 1) >= 0) count++;
  return count;
}

/** Collects `count` requests; those that are not in order from `token` on, or not answered with their number. */
function outOfTurn(pair: QueuePair, token: number, count: number): unknown[] {
  const wrong: unknown[] = [];
  for (let n = 0; n < count; n++) {
    const back = pair.collect();
    if (back?.token !== token + n || back.answer !== token + n || back.written !== 4) wrong.push({ n, back });
  }
  return wrong;
}

describe(
  'hands requests over in the order in which they were offered',
  forEachQueue(sizes, (make, size, kind) => {
    const pair = make();
    expect(pair.device.take()).toBeUndefined();
    expect(fill(pair)).toBe(size);
    expect(pair.driver.hidden).toBe(size);
    expect(pair.driver.outstanding).toBe(size);
    expect(pair.device.take(), 'nothing is there before it is exposed').toBeUndefined();
    pair.driver.expose();
    expect(pair.driver.hidden).toBe(0);
    const chains = Array.from({ length: size }, () => pair.device.take()!);
    expect(pair.device.taken).toBe(size);
    expect(pair.device.take()).toBeUndefined();
    // Back in the opposite order: the driver sees it in the order of the used ring, which is this one unless it is IN_ORDER.
    const order = chains.map((_, token) => token);
    if (kind.features.inOrder !== true) order.reverse();
    for (const [token, chain] of [...chains.entries()].reverse()) pair.answer(chain, token);
    expect(pair.driver.collect(), 'nothing is used before it is published').toBeUndefined();
    pair.device.publish();
    const wrong: unknown[] = [];
    for (const token of order) {
      const back = pair.collect();
      if (back?.token !== token || back.answer !== token || back.written !== 4) wrong.push({ token, back });
    }
    expect(wrong).toEqual([]);
    expect(pair.collect()).toBeUndefined();
    expect(pair.driver.outstanding + pair.device.taken).toBe(0);
  }),
);

describe(
  'refuses a request without losing anything when the queue is full, and takes it when there is room',
  forEachQueue(sizes, (make, size) => {
    const pair = make();
    expect(fill(pair)).toBe(size);
    const list = new BufferList().addWritable(pair.data.address, 1);
    expect(pair.driver.offer(list)).toBe(-1);
    expect(pair.driver.outstanding).toBe(size);
    pair.driver.expose();
    pair.answer(pair.device.take()!, 0);
    pair.device.publish();
    expect(pair.driver.offer(list), 'room comes with collect').toBe(-1);
    expect(pair.collect()?.token).toBe(0);
    expect(pair.offer(7, 1)).toBeGreaterThanOrEqual(0);
    expect(pair.driver.offer(list)).toBe(-1);
  }),
);

describe(
  'carries chains of one to size descriptors, in every division into device-readable and device-writable',
  forEachQueue(sizes, (make, size) => {
    const pair = make();
    const counts = [...new Set([1, 2, 3, size >> 1, size - 1, size])].filter((n) => n >= 1 && n <= size);
    const list = new BufferList();
    for (const count of counts) {
      for (const readable of new Set([0, 1, count >> 1, count])) {
        list.clear();
        for (let n = 0; n < count; n++) {
          const address = pair.data.address + n * 8;
          if (n < readable) list.addReadable(address, 1 + (n % 3));
          else list.addWritable(address, 1 + (n % 3));
        }
        const id = pair.driver.offer(list);
        pair.driver.expose();
        const chain = pair.device.take()!;
        const bytes = (from: number, to: number): number =>
          Array.from({ length: to - from }, (_, i) => 1 + ((from + i) % 3)).reduce((a, b) => a + b, 0);
        expect(chain.segments).toBe(count);
        expect(chain.readableBytes).toBe(bytes(0, readable));
        expect(chain.writableBytes).toBe(bytes(readable, count));
        const written = chain.writableBytes;
        pair.device.complete(chain, written);
        pair.device.publish();
        expect({ ...pair.driver.collect() }).toEqual({ id, written });
      }
    }
    expect(() => pair.driver.offer(list.clear())).toThrow(RangeError);
    for (let n = 0; n <= size; n++) list.addReadable(pair.data.address, 1);
    expect(() => pair.driver.offer(list), 'longer than the queue').toThrow(RangeError);
    // All descriptors are free again.
    expect(fill(pair)).toBe(size);
  }),
);

describe(
  'goes on over the wrap of its positions: at 65536 in split rings, at the size in packed ones',
  forEachQueue([1, 4, 32_768], (make, size, kind) => {
    const pair = make();
    const batch = Math.max(1, Math.floor(size / perRequest(kind)));
    const buffers = size === 1 ? 1 : 2;
    const end = kind.anySize ? 2 * size + 3 : 65536 + 1;
    let wrong = 0;
    for (let token = 0; token < end; token += batch) {
      for (let n = 0; n < batch; n++) if (pair.offer(token + n, buffers) < 0) wrong++;
      pair.driver.expose();
      for (let n = 0; n < batch; n++) pair.answer(pair.device.take()!, token + n);
      pair.device.publish();
      wrong += outOfTurn(pair, token, batch).length;
    }
    expect(wrong).toBe(0);
    expect(pair.device.take()).toBeUndefined();
    expect(pair.collect()).toBeUndefined();
  }),
);

describe(
  'goes on in a new device end from saved positions, wherever the ring is',
  forEachQueue(small, (make, size) => {
    const pair = make();
    // Two rounds of a small ring, some points of a large one, and the wrap.
    const steps = size > 4 ? [1, size - 2, 1, 1, 1] : new Array<number>(2 * size + 1).fill(1);
    let token = 0;
    for (const step of steps) {
      for (let n = 0; n < step; n++) pair.answerNext(token++);
      pair.restart();
    }
    expect(fill(pair, token)).toBe(size);
    pair.driver.expose();
    pair.restart();
    for (let n = 0; n < size; n++) pair.answer(pair.device.take()!, token + n);
    pair.device.publish();
    pair.restart();
    expect(outOfTurn(pair, token, size)).toEqual([]);
  }),
);

describe(
  'saves nothing but a queue at rest',
  forEachQueue(small, (make) => {
    const pair = make();
    pair.offer(1, 1);
    pair.driver.expose();
    expect(() => pair.device.save()).not.toThrow();
    const chain = pair.device.take()!;
    expect(() => pair.device.save()).toThrow(StateError);
    pair.answer(chain, 1);
    expect(() => pair.device.save()).toThrow(/not published/);
    pair.device.publish();
    const { availableNext, usedNext } = pair.device.save();
    expect(availableNext).toBe(usedNext);
  }),
);

describe(
  'makes what is given back available again, from the last one on',
  forEachQueue(small, (make, size) => {
    const pair = make();
    const count = Math.min(fill(pair), 5);
    pair.driver.expose();
    const chains = Array.from({ length: count }, () => pair.device.take()!);
    if (count > 1) expect(() => pair.device.giveBack(chains[0]!)).toThrow(RangeError);
    for (const chain of [...chains].reverse()) pair.device.giveBack(chain);
    expect(pair.device.taken).toBe(0);
    expect(() => pair.device.giveBack(chains[0]!)).toThrow(RangeError);
    expect(() => pair.device.complete(chains[0]!, 0)).toThrow(RangeError);
    for (let token = 0; token < size; token++) pair.answer(pair.device.take()!, token);
    pair.device.publish();
    expect(outOfTurn(pair, 0, size)).toEqual([]);
  }),
);

describe(
  'orphans the chains that are taken when it is closed, and touches no ring afterwards',
  forEachQueue(small, (make, size) => {
    const pair = make();
    fill(pair);
    pair.driver.expose();
    const chain = pair.device.take()!;
    const before = pair.memory.regions[0]!.bytes.slice();
    pair.device.close();
    expect(chain).toMatchObject({ live: false, orphaned: true });
    expect(() => chain.writeU8(0, 1)).toThrow(RangeError);
    expect(() => pair.device.complete(chain, 0)).toThrow(RangeError);
    expect(() => pair.device.giveBack(chain)).toThrow(RangeError);
    expect(pair.device.take()).toBeUndefined();
    expect(pair.device.arm()).toBe(false);
    expect(pair.device.publish()).toBe(false);
    expect(Buffer.compare(pair.memory.regions[0]!.bytes, before)).toBe(0);
    expect(size).toBeGreaterThan(0);
  }),
);
