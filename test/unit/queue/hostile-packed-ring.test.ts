import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { QueueLayout, QueueState } from '../../../src/queue/device-queue.ts';
import { PackedDeviceQueue } from '../../../src/queue/packed-device-queue.ts';
import { ProtocolError, StateError } from '../../../src/spec/fault.ts';
import { PackedFlag } from '../../../src/spec/packed-ring.ts';

const SIZE = 5;
const MEMORY_BYTES = 0x4000;
const LAYOUT: QueueLayout = { size: SIZE, descriptorArea: 0, driverArea: 0x80, deviceArea: 0x84 };
const BUFFER = 0x1000;
const TABLE = 0x2008;
const { NEXT, WRITE, INDIRECT, AVAILABLE, USED } = PackedFlag;

interface Entry {
  readonly address?: number | bigint;
  readonly length?: number;
  readonly flags?: number;
}

/** A packed ring that a test writes by hand, and its device end. */
function make(indirect = true): { memory: GuestMemory; queue: PackedDeviceQueue; put(at: number, entry: Entry): void } {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const { view } = memory.regions[0]!;
  const put = (at: number, { address = BUFFER, length = 8, flags = 0 }: Entry): void => {
    view.setBigUint64(at, BigInt(address), true);
    view.setUint32(at + 8, length, true);
    view.setUint16(at + 14, flags, true);
  };
  return { memory, queue: new PackedDeviceQueue(memory, LAYOUT, { indirect, eventIdx: true }), put };
}

function brokenRule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return (error as ProtocolError).rule;
  }
  return 'none';
}

/** Descriptors of the ring, all available in the first round, and of an indirect table. */
const cases: readonly [string, string, readonly Entry[], (readonly Entry[])?][] = [
  ['a buffer across the end', 'packed.driver.desc.memory', [{ address: MEMORY_BYTES - 4, flags: WRITE }]],
  ['a buffer at 2^53', 'packed.driver.desc.memory', [{ address: 2n ** 53n }]],
  ['a buffer at the end of 64 bits', 'packed.driver.desc.memory', [{ address: 2n ** 64n - 1n }]],
  ['a chain with no end', 'packed.driver.sg.2', Array.from({ length: SIZE }, () => ({ flags: NEXT }))],
  ['device-readable behind device-writable', 'packed.driver.sg.3', [{ flags: WRITE | NEXT }, {}]],
  ['an empty table', 'packed.driver.indirect.length', [{ address: TABLE, length: 0, flags: INDIRECT }]],
  ['a table of 24 bytes', 'packed.driver.indirect.length', [{ address: TABLE, length: 24, flags: INDIRECT }]],
  ['a table larger than the queue', 'packed.driver.indirect.3', [{ address: TABLE, length: 96, flags: INDIRECT }]],
  [
    'a table across the end',
    'packed.driver.desc.memory',
    [{ address: MEMORY_BYTES - 16, length: 32, flags: INDIRECT }],
  ],
  ['INDIRECT with NEXT', 'packed.driver.indirect.4', [{ address: TABLE, length: 16, flags: INDIRECT | NEXT }, {}]],
  [
    'INDIRECT in a chain',
    'packed.driver.indirect.4',
    [{ flags: NEXT }, { address: TABLE, length: 16, flags: INDIRECT }],
  ],
  [
    'device-readable behind device-writable in a table',
    'packed.driver.sg.3',
    [{ address: TABLE, length: 32, flags: INDIRECT }],
    [{ flags: WRITE }, {}],
  ],
  [
    'a buffer outside in a table',
    'packed.driver.desc.memory',
    [{ address: TABLE, length: 16, flags: INDIRECT }],
    [{ address: MEMORY_BYTES }],
  ],
];

describe('a packed device end names the rule that a ring breaks, and writes nothing', () => {
  for (const [name, rule, ring, table = []] of cases) {
    it(name, () => {
      const { memory, queue, put } = make();
      for (const [n, entry] of table.entries()) put(TABLE + 16 * n, entry);
      for (const [n, entry] of ring.entries()) put(16 * n, { ...entry, flags: (entry.flags ?? 0) | AVAILABLE });
      const before = memory.regions[0]!.bytes.slice();
      expect(brokenRule(() => queue.take())).toBe(rule);
      expect(Buffer.compare(memory.regions[0]!.bytes, before)).toBe(0);
      expect(queue.taken).toBe(0);
    });
  }

  it('a table without the feature', () => {
    const { queue, put } = make(false);
    put(0, { address: TABLE, length: 16, flags: INDIRECT | AVAILABLE });
    expect(brokenRule(() => queue.take())).toBe('packed.driver.indirect.1');
  });

  it('a chain that goes on over a descriptor that is not available, or was used', () => {
    const { queue, put } = make();
    put(0, { flags: NEXT | AVAILABLE });
    put(16, { flags: 0 });
    expect(brokenRule(() => queue.take())).toBe('packed.driver.desc.available');
    put(0, { flags: AVAILABLE });
    for (let n = 1; n < SIZE; n++) put(16 * n, { flags: n === SIZE - 1 ? NEXT | AVAILABLE : AVAILABLE });
    for (let n = 1; n < SIZE; n++) queue.complete(queue.take()!, 0);
    queue.publish();
    // Over the end of the ring: descriptor 0 is used, and available would be under the other counter.
    expect(brokenRule(() => queue.take())).toBe('packed.driver.desc.available');
    put(0, { flags: USED });
    expect(queue.take()?.slots).toBe(2);
  });

  it('more descriptors than the ring has, made available over those that are held', () => {
    const { queue, put } = make();
    for (let n = 0; n < SIZE; n++) put(16 * n, { flags: AVAILABLE });
    for (let n = 0; n < SIZE; n++) expect(queue.take()).toBeDefined();
    expect(queue.take()).toBeUndefined();
    put(0, { flags: USED });
    expect(brokenRule(() => queue.take())).toBe('packed.driver.desc.count');
    expect(queue.taken).toBe(SIZE);
  });
});

it('a packed table is taken in order, whatever NEXT and its ids say in it (§2.8.7)', () => {
  const { queue, put } = make();
  put(TABLE, { length: 3, flags: NEXT | INDIRECT });
  put(TABLE + 16, { length: 4, flags: 0 });
  put(TABLE + 32, { length: 5, flags: WRITE });
  put(0, { address: TABLE, length: 48, flags: INDIRECT | WRITE | AVAILABLE });
  const chain = queue.take()!;
  expect([chain.segments, chain.readableBytes, chain.writableBytes]).toEqual([3, 7, 5]);
});

/** Offers a chain of so many descriptors where the device looks next, and lets it use that. */
function useNext({ queue, put }: ReturnType<typeof make>, descriptors: number): void {
  const { availableNext, availableWrap } = queue.save();
  for (let n = descriptors - 1; n >= 0; n--) {
    const index = (availableNext + n) % SIZE;
    const wrap = availableNext + n < SIZE ? availableWrap : availableWrap ^ 1;
    put(16 * index, { flags: (n === descriptors - 1 ? 0 : NEXT) | (wrap === 1 ? AVAILABLE : USED) });
  }
  queue.complete(queue.take()!, 0);
  queue.publish();
}

describe('a packed device end that goes on', () => {
  /** Each place of the ring under each wrap counter, reached by chains of one, two and five descriptors. */
  const places = [1, 2, SIZE].flatMap((descriptors) =>
    Array.from({ length: 2 * SIZE }, (_, n) => ({ descriptors, n })),
  );
  const reach = ({ descriptors, n }: (typeof places)[number]): ReturnType<typeof make> => {
    const ends = make();
    for (let used = 0; used <= n; used++) useNext(ends, descriptors);
    return ends;
  };
  const saved = ({ memory, queue }: ReturnType<typeof make>): PackedDeviceQueue =>
    new PackedDeviceQueue(memory, LAYOUT, { indirect: true, eventIdx: true }, queue.save());

  it('finds the ring as it left it, with buffers that came meanwhile', () => {
    for (const place of places) {
      const ends = reach(place);
      for (let more = 0; more < SIZE; more++) {
        ends.queue.verify();
        saved(ends).verify();
        const { availableNext: next, availableWrap: wrap } = ends.queue.save();
        const round = next + more < SIZE ? wrap : wrap ^ 1;
        ends.put(16 * ((next + more) % SIZE), { flags: round === 1 ? AVAILABLE : USED });
      }
      ends.queue.verify();
      saved(ends).verify();
    }
  });

  it('notices a descriptor that somebody else used meanwhile', () => {
    for (const place of places) {
      const ends = reach(place);
      const { availableNext, availableWrap } = ends.queue.save();
      for (let n = 0; n < SIZE; n++) {
        const index = (availableNext + n) % SIZE;
        const wrap = availableNext + n < SIZE ? availableWrap : availableWrap ^ 1;
        const before = ends.memory.regions[0]!.bytes.slice();
        ends.put(16 * index, { flags: wrap === 1 ? AVAILABLE | USED : 0 });
        expect(brokenRule(() => ends.queue.verify())).toBe('packed.driver.desc.used');
        expect(brokenRule(() => saved(ends).verify())).toBe('packed.driver.desc.used');
        ends.memory.regions[0]!.bytes.set(before);
      }
    }
  });

  it('notices a ring that was set up anew, unless it is at the start itself', () => {
    for (const place of places) {
      const ends = reach(place);
      const { availableNext, availableWrap } = ends.queue.save();
      ends.memory.regions[0]!.bytes.fill(0, 0, 16 * SIZE);
      const rule = availableNext === 0 && availableWrap === 1 ? 'none' : 'packed.driver.desc.used';
      expect(brokenRule(() => saved(ends).verify())).toBe(rule);
    }
  });

  it('notices that what it used last is not used any more, as in memory of an earlier time', () => {
    for (const place of places) {
      const ends = reach(place);
      const { availableNext: next } = ends.queue.save();
      const { bytes } = ends.memory.regions[0]!;
      const { view } = ends.memory.regions[0]!;
      const first = (next - place.descriptors + SIZE) % SIZE;
      const marks = view.getUint16(16 * first + 14, true) & (AVAILABLE | USED);
      expect(marks === 0 || marks === (AVAILABLE | USED)).toBe(true);
      const before = bytes.slice();
      view.setUint16(16 * first + 14, marks === 0 ? USED : AVAILABLE, true);
      expect(brokenRule(() => ends.queue.verify())).toBe('packed.driver.desc.used');
      bytes.set(before);
      // Available again for the next round.
      view.setUint16(16 * first + 14, marks === 0 ? AVAILABLE : USED, true);
      ends.queue.verify();
    }
  });

  it('notices that its memory is gone', () => {
    const { memory, queue } = make();
    memory.remove(memory.regions[0]!);
    expect(brokenRule(() => queue.verify())).toBe('packed.driver.layout.memory');
  });
});

describe('a packed device end does not start', () => {
  const { memory } = make();
  const layouts: readonly [string, Partial<QueueLayout>][] = [
    ['pci.driver.common.2', { size: 0 }],
    ['pci.driver.common.2', { size: 32769 }],
    ['pci.driver.common.2', { size: 0.5 }],
    ['packed.driver.layout.1', { descriptorArea: 8 }],
    ['packed.driver.layout.1', { driverArea: 0x82 }],
    ['packed.driver.layout.1', { deviceArea: 0x86 }],
    ['packed.driver.layout.memory', { descriptorArea: MEMORY_BYTES - 64 }],
    ['packed.driver.layout.memory', { driverArea: MEMORY_BYTES }],
    ['packed.driver.layout.memory', { deviceArea: 2 ** 53 }],
  ];
  for (const [rule, part] of layouts) {
    it(`${rule} by ${JSON.stringify(part)}`, () => {
      const layout = { ...LAYOUT, ...part };
      expect(brokenRule(() => new PackedDeviceQueue(memory, layout, { indirect: true, eventIdx: true }))).toBe(rule);
    });
  }

  it('from positions that no queue at rest has', () => {
    const good = { format: 'packed', availableNext: 4, availableWrap: 0, usedNext: 4, usedWrap: 0 } as const;
    const start = (state: unknown): PackedDeviceQueue =>
      new PackedDeviceQueue(memory, LAYOUT, { indirect: true, eventIdx: true }, state as QueueState);
    expect(start(good).save()).toEqual(good);
    const bad: unknown[] = [
      { format: 'split', availableNext: 4, usedNext: 4 },
      { ...good, availableNext: 5, usedNext: 5 },
      { ...good, availableNext: -1, usedNext: -1 },
      { ...good, usedNext: 3 },
      { ...good, usedWrap: 1 },
      { ...good, availableWrap: 2, usedWrap: 2 },
      { ...good, availableWrap: undefined, usedWrap: undefined },
      { ...good, availableWrap: 0.5, usedWrap: 0.5 },
    ];
    for (const state of bad) expect(() => start(state), JSON.stringify(state)).toThrow(StateError);
  });
});
