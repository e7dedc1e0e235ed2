import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Chain } from '../../../src/queue/chain.ts';
import { ProtocolError, StateError } from '../../../src/spec/fault.ts';
import { PackedDescriptor, PackedFlag } from '../../../src/spec/packed-ring.ts';
import { Available, Descriptor, DescriptorFlag, Used } from '../../../src/spec/split-ring.ts';
import { type QueueKind, QueuePair, queueKinds } from '../../support/queue-pair.ts';
import { runs } from '../../support/runs.ts';

const SIZE = 8;
const kinds = queueKinds.filter(({ features }) => features.inOrder === true).map((kind) => [kind.name, kind] as const);
const splitKinds = kinds.filter(([, { anySize }]) => !anySize);

/** Offers and takes `count` requests, with the numbers from `first` on. */
function takeSome(pair: QueuePair, count: number, first = 0): Chain[] {
  for (let n = 0; n < count; n++) pair.offer(first + n, (1 + (n % 2)) as 1 | 2);
  pair.driver.expose();
  return Array.from({ length: count }, () => pair.device.take()!);
}

/**
 * Answers requests as a device does that writes a single used entry for all of them (§2.7.9, §2.8.8): the entries that such a
 * device skips are overwritten with what makes no sense, those of a packed ring with what they were.
 */
function answerInOneBatch(kind: QueueKind, pair: QueuePair, chains: readonly Chain[], first: number): void {
  const { descriptorArea, deviceArea } = pair.driver.layout;
  const { bytes, view } = pair.memory.regions[0]!;
  const before = bytes.slice();
  const [start, end] = [chains[0]!.position, chains.at(-1)!];
  const { id, writableBytes: written } = end;
  for (const [n, chain] of chains.entries()) pair.answer(chain, first + n);
  pair.device.publish();
  if (kind.anySize) {
    const at = descriptorArea + PackedDescriptor.SIZE * start;
    const marks = view.getUint16(at + PackedDescriptor.FLAGS, true) & (PackedFlag.AVAILABLE | PackedFlag.USED);
    const ring = [descriptorArea, descriptorArea + PackedDescriptor.SIZE * pair.size] as const;
    bytes.set(before.subarray(...ring), descriptorArea);
    view.setUint32(at + PackedDescriptor.LENGTH, written, true);
    view.setUint16(at + PackedDescriptor.ID, id, true);
    view.setUint16(at + PackedDescriptor.FLAGS, marks | PackedFlag.WRITE, true);
    return;
  }
  for (let n = 0; n < chains.length; n++) {
    const at = deviceArea + Used.RING + Used.ENTRY_SIZE * ((start + n) % pair.size);
    view.setUint32(at, n === 0 ? id : 0xffff_ffff, true);
    view.setUint32(at + 4, n === 0 ? written : 0xffff_ffff, true);
  }
}

describe.each(kinds)('a device end, %s,', (_, kind) => {
  it('uses buffers in the order in which they were taken, whatever the order in which they are complete', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 });
    fc.assert(
      fc.property(fc.array(order, { minLength: 1, maxLength: 12 }), fc.boolean(), (orders, publishes) => {
        const pair = new QueuePair(kind, SIZE);
        for (const [round, completions] of orders.entries()) {
          const chains = takeSome(pair, 4, 4 * round);
          const done = new Set<number>();
          let back = 0;
          for (const n of completions) {
            pair.answer(chains[n]!, 4 * round + n);
            done.add(n);
            if (!publishes) continue;
            pair.device.publish();
            for (let next = pair.collect(); next !== undefined; next = pair.collect()) {
              expect([next.token, next.answer]).toEqual([4 * round + back, 4 * round + back]);
              expect(done.has(back++)).toBe(true);
            }
            expect(done.has(back), 'everything that can be used is used').toBe(false);
          }
          pair.device.publish();
          for (; back < 4; back++) expect(pair.collect()?.token).toBe(4 * round + back);
          expect([pair.device.taken, pair.driver.outstanding]).toEqual([0, 0]);
        }
      }),
      runs(20261123, 60),
    );
  });

  it('holds what is complete too early: it is not used, not handed back twice, and nothing is saved', () => {
    const pair = new QueuePair(kind, SIZE);
    const [first, second] = takeSome(pair, 2);
    pair.answer(second!, 1);
    expect(pair.device.publish()).toBe(false);
    expect(pair.device.taken).toBe(2);
    expect(() => pair.device.save()).toThrow(StateError);
    expect(() => pair.device.complete(second!, 4)).toThrow(RangeError);
    expect(() => pair.device.giveBack(second!)).toThrow(RangeError);
    expect(() => second!.writeU8(0, 1)).toThrow(RangeError);
    pair.answer(first!, 0);
    expect(pair.device.publish()).toBe(true);
    expect([pair.collect()?.token, pair.collect()?.token]).toEqual([0, 1]);
    expect(() => pair.device.save()).not.toThrow();
  });

  it('takes no more while it holds than the ring has', () => {
    const pair = new QueuePair(kind, SIZE);
    let taken = 0;
    const chains: Chain[] = [];
    while (pair.offer(taken, 1) >= 0) taken++;
    pair.driver.expose();
    for (let n = 0; n < taken; n++) chains.push(pair.device.take()!);
    for (const [n, chain] of chains.entries()) if (n > 0) pair.answer(chain, n);
    expect(pair.device.take()).toBeUndefined();
    expect(pair.device.arm()).toBe(false);
    pair.answer(chains[0]!, 0);
    pair.device.publish();
    for (let n = 0; n < taken; n++) expect(pair.collect()?.token).toBe(n);
  });

  it('orphans what is in processing when it is closed, and forgets what it holds', () => {
    const pair = new QueuePair(kind, SIZE);
    const chains = takeSome(pair, 3);
    pair.answer(chains[1]!, 1);
    const orphans = { count: 0 };
    pair.device.close(orphans);
    expect(orphans.count).toBe(2);
    expect(chains.map(({ orphaned }) => orphaned)).toEqual([true, false, true]);
  });

  it('makes what is given back available again', () => {
    const pair = new QueuePair(kind, SIZE);
    const chains = takeSome(pair, 3);
    pair.device.giveBack(chains[2]!);
    pair.device.giveBack(chains[1]!);
    const again = pair.device.take()!;
    pair.answer(again, 1);
    pair.answer(chains[0]!, 0);
    pair.answer(pair.device.take()!, 2);
    pair.device.publish();
    expect([0, 1, 2].map(() => pair.collect()?.token)).toEqual([0, 1, 2]);
  });
});

describe.each(kinds)('a driver end, %s,', (_, kind) => {
  it('understands one used entry for a batch of any length, at any place of the ring', () => {
    const batches = fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.nat(2)), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(batches, fc.constantFrom(4, 8, ...(kind.anySize ? [5, 7] : [])), (lengths, size) => {
        const pair = new QueuePair(kind, size);
        let token = 0;
        for (const [length, single] of lengths) {
          const room = kind.features.indirect ? size : Math.floor(size / 2);
          const chains = takeSome(pair, Math.min(length, room), token);
          // Some of them alone before, in entries of their own.
          const alone = chains.splice(0, Math.min(single, chains.length - 1));
          for (const [n, chain] of alone.entries()) pair.answer(chain, token + n);
          pair.device.publish();
          answerInOneBatch(kind, pair, chains, token + alone.length);
          expect(pair.driver.arm(), 'there is something').toBe(true);
          for (let n = 0; n < alone.length + chains.length; n++) {
            const back = pair.collect();
            expect(back).toMatchObject({ token, answer: token, written: 4 });
            token++;
            expect(pair.driver.arm()).toBe(n + 1 < alone.length + chains.length);
          }
          expect(pair.collect()).toBeUndefined();
        }
        expect(pair.driver.outstanding).toBe(0);
      }),
      runs(20261124, 100),
    );
  });

  it('gives the bytes of the last buffer of a batch as the device says, of those before all that they have (§2.7.9)', () => {
    const pair = new QueuePair(kind, SIZE);
    const chains = takeSome(pair, 3);
    answerInOneBatch(kind, pair, chains, 0);
    const { view } = pair.memory.regions[0]!;
    const { descriptorArea, deviceArea } = pair.driver.layout;
    view.setUint32(kind.anySize ? descriptorArea + PackedDescriptor.LENGTH : deviceArea + Used.RING + 4, 1, true);
    expect([0, 1, 2].map(() => pair.collect()?.written)).toEqual([4, 4, 1]);
  });

  it('names the rule when its device uses what it does not have, or claims too much', () => {
    const lies = [
      { id: 5, length: 4, rule: 'id' },
      { id: 0x1_0000, length: 4, rule: kind.anySize ? 'none' : 'id' },
      { id: 0, length: 5, rule: kind.anySize ? 'length' : '2' },
    ];
    for (const { id, length, rule } of lies) {
      const pair = new QueuePair(kind, SIZE);
      const chains = takeSome(pair, 1);
      answerInOneBatch(kind, pair, chains, 0);
      const { view } = pair.memory.regions[0]!;
      const { descriptorArea, deviceArea } = pair.driver.layout;
      const at = kind.anySize ? descriptorArea + PackedDescriptor.LENGTH : deviceArea + Used.RING;
      if (kind.anySize) {
        view.setUint16(at + 4, id, true);
        view.setUint32(at, length, true);
      } else {
        view.setUint32(at, id, true);
        view.setUint32(at + 4, length, true);
      }
      const format = kind.anySize ? 'packed' : 'split';
      if (rule === 'none') expect(pair.driver.collect()).toBeDefined();
      else {
        const error = expect.objectContaining({ name: ProtocolError.name, rule: `${format}.device.used.${rule}` });
        expect(() => pair.driver.collect()).toThrow(error);
      }
    }
  });
});

describe.each(splitKinds)('a driver end, %s,', (_, kind) => {
  it('names the rule when its device uses a buffer before an earlier one', () => {
    const pair = new QueuePair(kind, SIZE);
    const [, second] = takeSome(pair, 2);
    const { view } = pair.memory.regions[0]!;
    const { deviceArea } = pair.driver.layout;
    view.setUint32(deviceArea + Used.RING, second!.id, true);
    view.setUint32(deviceArea + Used.RING + 4, 4, true);
    view.setUint16(deviceArea + Used.INDEX, 1, true);
    expect(() => pair.driver.collect()).toThrow(expect.objectContaining({ rule: 'split.device.used.order' }));
    expect(pair.driver.outstanding).toBe(2);
  });

  it('uses descriptors in ring order, and links each to the one behind it (§2.7.5)', () => {
    const pair = new QueuePair(kind, SIZE);
    const { descriptorArea, driverArea } = pair.driver.layout;
    const { view } = pair.memory.regions[0]!;
    let descriptor = 0;
    for (let position = 0; position < 5 * SIZE; position++) {
      const buffers = (1 + (position % 2)) as 1 | 2;
      pair.offer(position, buffers);
      pair.driver.expose();
      expect(view.getUint16(driverArea + Available.RING + 2 * (position % SIZE), true)).toBe(descriptor);
      for (let left = kind.features.indirect ? 1 : buffers; left > 0; left--) {
        const at = descriptorArea + Descriptor.SIZE * descriptor;
        const goesOn = (view.getUint16(at + Descriptor.FLAGS, true) & DescriptorFlag.NEXT) !== 0;
        expect(goesOn).toBe(left > 1);
        descriptor = (descriptor + 1) % SIZE;
        if (goesOn) expect(view.getUint16(at + Descriptor.NEXT, true)).toBe(descriptor);
      }
      if (position % 3 !== 2) continue;
      for (let n = position - 2; n <= position; n++) pair.answer(pair.device.take()!, n);
      pair.device.publish();
      for (let n = position - 2; n <= position; n++) expect(pair.collect()?.token).toBe(n);
    }
  });
});
