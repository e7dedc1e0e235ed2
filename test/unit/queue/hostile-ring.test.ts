import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { QueueLayout } from '../../../src/queue/device-queue.ts';
import { SplitDeviceQueue } from '../../../src/queue/split-device-queue.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { hostileQueue, hostileRings, QUEUE_SIZE } from '../../support/hostile-rings.ts';
import { NEXT, RawQueue, WRITE } from '../../support/raw-queue.ts';

/** The rule that `action` says was broken; fails when it throws anything else, or nothing. */
function brokenRule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return (error as ProtocolError).rule;
  }
  return 'none';
}

function takeAll(queue: SplitDeviceQueue): void {
  for (let n = 0; n < 100; n++) if (queue.take() === undefined) return;
  throw new Error('the queue has no end');
}

describe('a device end names the rule that a ring breaks, and writes nothing', () => {
  for (const { name, rule, set, withoutIndirect } of hostileRings) {
    for (const eventIdx of [false, true]) {
      it(`${name}, ${eventIdx ? 'event index' : 'flags'}`, () => {
        const raw = hostileQueue();
        const queue = new SplitDeviceQueue(raw.memory, raw.layout, { indirect: withoutIndirect !== true, eventIdx });
        raw.offer(0);
        expect(queue.take()).toBeDefined();
        set(raw);
        const before = raw.memory.regions.map(({ bytes }) => bytes.slice());
        expect(brokenRule(() => takeAll(queue))).toBe(rule);
        for (const [n, bytes] of before.entries()) expect(Buffer.compare(raw.memory.regions[n]!.bytes, bytes)).toBe(0);
        // Looking again changes nothing.
        expect(brokenRule(() => takeAll(queue))).toBe(rule);
      });
    }
  }
});

it('a chain of more than 2^32 bytes is refused, one just below is taken (§2.7.5.2)', () => {
  const piece = 1 << 24;
  const memory = GuestMemory.over(new Uint8Array(piece));
  const raw = new RawQueue(memory, 512, 0);
  const queue = new SplitDeviceQueue(memory, raw.layout, { indirect: false, eventIdx: false });
  const chain = (last: number): void => {
    for (let n = 0; n < 256; n++) {
      const flags = (n >= 100 ? WRITE : 0) | (n === 255 ? 0 : NEXT);
      raw.descriptor(n, { address: 0, length: n === 255 ? last : piece, flags, next: n + 1 });
    }
    raw.offer(0);
  };
  chain(piece - 1);
  const taken = queue.take()!;
  expect(taken.readableBytes + taken.writableBytes).toBe(2 ** 32 - 1);
  chain(piece);
  raw.descriptor(255, { address: 0, length: piece, flags: WRITE | NEXT, next: 256 });
  raw.descriptor(256, { address: 0, length: 1, flags: WRITE });
  expect(brokenRule(() => queue.take())).toBe('split.driver.desc.1');
});

it('buffers that are still held count among those that a driver has out', () => {
  const raw = hostileQueue().offer(0);
  const queue = new SplitDeviceQueue(raw.memory, raw.layout, { indirect: true, eventIdx: true });
  const held = queue.take()!;
  raw.availableIndex = 1 + QUEUE_SIZE;
  expect(brokenRule(() => queue.take())).toBe('split.driver.avail.1');
  queue.complete(held, 0);
  expect(brokenRule(() => queue.take())).toBe('none');
});

it('an available index that goes back over buffers that were seen is noticed', () => {
  const raw = hostileQueue().offer(0).offer(0).offer(0);
  const queue = new SplitDeviceQueue(raw.memory, raw.layout, { indirect: true, eventIdx: true });
  queue.take();
  raw.availableIndex = 2;
  expect(brokenRule(() => queue.arm())).toBe('split.driver.avail.1');
});

describe('a device end does not start', () => {
  const memory = GuestMemory.over(new Uint8Array(0x10000));
  const layout: QueueLayout = { size: 8, descriptorArea: 0x1000, driverArea: 0x2000, deviceArea: 0x3000 };
  const cases: readonly [string, Partial<QueueLayout>, string][] = [
    ...[0, 3, 5, 65536, 32769, -8, 0.5, Number.NaN].map((size): [string, Partial<QueueLayout>, string] => [
      `with size ${size}`,
      { size },
      'pci.driver.common.3',
    ]),
    ['with a descriptor table that is not aligned', { descriptorArea: 0x1008 }, 'split.driver.layout.1'],
    ['with an available ring that is not aligned', { driverArea: 0x2001 }, 'split.driver.layout.1'],
    ['with a used ring that is not aligned', { deviceArea: 0x3002 }, 'split.driver.layout.1'],
    ['with a descriptor table behind the memory', { descriptorArea: 0x10000 }, 'split.driver.layout.memory'],
    ['with a descriptor table across the end', { descriptorArea: 0xff90 }, 'split.driver.layout.memory'],
    ['with an available ring across the end', { driverArea: 0xffec }, 'split.driver.layout.memory'],
    ['with a used ring across the end', { deviceArea: 0xffbc }, 'split.driver.layout.memory'],
    ['with a used ring at 2^53', { deviceArea: 2 ** 53 }, 'split.driver.layout.memory'],
    ['with a used ring at 2^64', { deviceArea: 2 ** 64 }, 'split.driver.layout.memory'],
  ];
  for (const [name, part, rule] of cases) {
    it(name, () => {
      const make = (): unknown =>
        new SplitDeviceQueue(memory, { ...layout, ...part }, { indirect: true, eventIdx: true });
      expect(brokenRule(make)).toBe(rule);
    });
  }

  it('but does when the areas just fit', () => {
    const fits = { ...layout, descriptorArea: 0xff80, driverArea: 0xff6a, deviceArea: 0xff24 };
    expect(brokenRule(() => new SplitDeviceQueue(memory, fits, { indirect: true, eventIdx: true }))).toBe('none');
  });
});

describe('a device end that goes on notices rings that do not fit its positions', () => {
  const make = (raw: RawQueue): SplitDeviceQueue =>
    new SplitDeviceQueue(
      raw.memory,
      raw.layout,
      { indirect: true, eventIdx: true },
      { format: 'split', availableNext: 5, usedNext: 5 },
    );
  const at5 = (): RawQueue => Object.assign(hostileQueue(), { availableIndex: 5, usedIndex: 5 });

  it('and none when they do', () => {
    const raw = at5();
    make(raw).verify();
    raw.availableIndex = 13;
    make(raw).verify();
  });

  it('by the used index', () => {
    const raw = at5();
    const queue = make(raw);
    raw.usedIndex = 6;
    expect(brokenRule(() => queue.verify())).toBe('split.driver.used.index');
  });

  it('by the available index', () => {
    const raw = at5();
    for (const index of [4, 14]) {
      raw.availableIndex = index;
      expect(brokenRule(() => make(raw).verify())).toBe('split.driver.avail.1');
    }
  });

  it('by memory that is gone', () => {
    const raw = at5();
    const queue = make(raw);
    raw.memory.remove(raw.memory.regions[0]!);
    expect(brokenRule(() => queue.verify())).toBe('split.driver.layout.memory');
    expect(brokenRule(() => queue.take())).toBe('split.driver.layout.memory');
    expect(brokenRule(() => queue.arm())).toBe('split.driver.layout.memory');
  });
});
