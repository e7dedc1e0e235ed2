import { describe, expect, it } from 'vitest';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { eventPassed } from '../../../src/queue/notify.ts';
import { SplitDeviceQueue } from '../../../src/queue/split-device-queue.ts';
import { SplitDriverQueue } from '../../../src/queue/split-driver-queue.ts';
import { RawQueue } from '../../support/raw-queue.ts';

const SIZE = 8;
const BUFFER = 0x800;

/** §2.7.7.2, §2.7.10.2 by the letter: one of the entries from `before` up to `after` is the one at the event index. */
function landsOnEvent(event: number, before: number, count: number): boolean {
  return Array.from({ length: count }, (_, n) => (before + n) & 0xffff).includes(event);
}

const events = (around: number): number[] => [
  ...Array.from({ length: 24 }, (_, n) => (around + n - 12) & 0xffff),
  (around + 0x8000) & 0xffff,
];

it('an event index is passed exactly when an entry lands on it, over the wrap too', () => {
  const wrong: unknown[] = [];
  for (const before of [0, 1, 0x7fff, 0xfff8, 0xffff]) {
    for (const count of [0, 1, 2, 7, 8, 0x7fff, 0x8000, 0xffff]) {
      for (const event of [...events(before), ...events(before + count)]) {
        const passed = eventPassed(event, (before + count) & 0xffff, before);
        // The enumeration is slow for a full ring; a distance says the same.
        const lands = count < 16 ? landsOnEvent(event, before, count) : ((event - before) & 0xffff) < count;
        if (passed !== lands) wrong.push({ before, count, event, passed });
      }
    }
  }
  expect(wrong).toEqual([]);
});

/** A device end that has `count` chains taken, at a position of the rings. */
function deviceAt(position: number, count: number, eventIdx: boolean): { raw: RawQueue; queue: SplitDeviceQueue } {
  const memory = GuestMemory.over(new Uint8Array(0x1000));
  const raw = new RawQueue(memory, SIZE, 0);
  raw.availableIndex = position;
  raw.usedIndex = position;
  for (let n = 0; n < count; n++) raw.descriptor(n, { address: BUFFER, length: 1 }).offer(n);
  const state = { format: 'split', availableNext: position, usedNext: position } as const;
  return { raw, queue: new SplitDeviceQueue(memory, raw.layout, { indirect: false, eventIdx }, state) };
}

function completeAll(queue: SplitDeviceQueue): void {
  const chains = Array.from({ length: queue.size }, () => queue.take()).filter((chain) => chain !== undefined);
  for (const chain of chains) queue.complete(chain, 0);
}

describe('a device tells of used buffers', () => {
  it('with EVENT_IDX when an entry lands on used_event, whatever the flags say (§2.7.7.2)', () => {
    const wrong: unknown[] = [];
    for (const position of [0, 3, 0xfffb, 0xffff]) {
      for (const count of [1, 2, SIZE]) {
        for (const event of events(position)) {
          for (const flags of [0, 1]) {
            const { raw, queue } = deviceAt(position, count, true);
            raw.usedEvent = event;
            raw.availableFlags = flags;
            completeAll(queue);
            const told = queue.publish();
            if (told !== landsOnEvent(event, position, count)) wrong.push({ position, count, event, flags, told });
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('without EVENT_IDX unless the flags say 1, whatever used_event says (§2.7.7.2)', () => {
    for (const flags of [0, 1]) {
      for (const event of [0, 1, 2, 0xffff]) {
        const { raw, queue } = deviceAt(0, 2, false);
        raw.usedEvent = event;
        raw.availableFlags = flags;
        completeAll(queue);
        expect(queue.publish()).toBe(flags === 0);
      }
    }
  });

  it('once: nothing new is nothing to tell', () => {
    const { queue } = deviceAt(0, 2, false);
    expect(queue.publish()).toBe(false);
    completeAll(queue);
    expect(queue.publish()).toBe(true);
    expect(queue.publish()).toBe(false);
  });
});

describe('a device asks for kicks', () => {
  it('with EVENT_IDX at the next buffer, and leaves the used flags 0 (§2.7.10.2)', () => {
    for (const position of [0, 5, 0xfffe]) {
      const { raw, queue } = deviceAt(position, 3, true);
      queue.take();
      queue.take();
      expect(queue.arm(), 'one is there').toBe(true);
      queue.take();
      expect(queue.arm()).toBe(false);
      expect(raw.availableEvent).toBe((position + 3) & 0xffff);
      expect(raw.usedFlags).toBe(0);
    }
  });

  it('without EVENT_IDX always, and writes nothing for it', () => {
    const { raw, queue } = deviceAt(0, 1, false);
    raw.availableEvent = 0x1234;
    const before = raw.memory.regions[0]!.bytes.slice();
    expect(queue.arm()).toBe(true);
    queue.take();
    expect(queue.arm()).toBe(false);
    expect(raw.memory.regions[0]!.bytes).toEqual(before);
  });

  it('anew in a device end that goes on from saved positions, whatever the ring held', () => {
    const { raw, queue } = deviceAt(7, 0, true);
    raw.availableEvent = 0x4321;
    expect(queue.arm()).toBe(false);
    expect(raw.availableEvent).toBe(7);
  });
});

/** A driver end whose rings stand at `position`, and the device's side of them written by hand. */
function driverAt(position: number, eventIdx: boolean): { raw: RawQueue; queue: SplitDriverQueue; list: BufferList } {
  const memory = GuestMemory.over(new Uint8Array(0x2000));
  const features = { indirect: false, eventIdx };
  const queue = new SplitDriverQueue(new GuestAllocator(memory, 0x1000, 0x1000), SIZE, features);
  const raw = new RawQueue(memory, SIZE, 0);
  raw.layout = queue.layout;
  const list = new BufferList().addReadable(BUFFER, 1);
  for (let n = 0; n < position; n++) {
    const id = queue.offer(list);
    queue.expose();
    raw.setUsed(n, id, 0);
    raw.usedIndex = n + 1;
    queue.collect();
  }
  return { raw, queue, list };
}

describe('a driver kicks', () => {
  it('with EVENT_IDX when an entry lands on avail_event, whatever the flags say (§2.7.10.1)', () => {
    const { raw, queue, list } = driverAt(0xfff0, true);
    const wrong: unknown[] = [];
    let position = 0xfff0;
    // Steps of one to eight buffers, over the wrap, against every event index around.
    for (let step = 0; step < 300; step++) {
      const count = 1 + (step % SIZE);
      const event = events(position)[step % 25]!;
      const ids = Array.from({ length: count }, () => queue.offer(list));
      raw.availableEvent = event;
      raw.usedFlags = step % 2;
      const kick = queue.expose();
      if (kick !== landsOnEvent(event, position, count)) wrong.push({ position, count, event, kick });
      for (const [n, id] of ids.entries()) raw.setUsed(position + n, id, 0);
      position = (position + count) & 0xffff;
      raw.usedIndex = position;
      while (queue.collect() !== undefined);
    }
    expect(position).toBeLessThan(0xfff0);
    expect(wrong).toEqual([]);
  });

  it('without EVENT_IDX unless the flags say 1, whatever avail_event says (§2.7.10.1)', () => {
    const { raw, queue, list } = driverAt(0, false);
    for (const [flags, event] of [
      [0, 0],
      [0, 9],
      [1, 2],
      [1, 3],
      [0, 4],
    ] as const) {
      raw.usedFlags = flags;
      raw.availableEvent = event;
      queue.offer(list);
      expect(queue.expose()).toBe(flags === 0);
    }
    expect(queue.expose(), 'nothing new').toBe(false);
  });
});

describe('a driver asks for interrupts', () => {
  it('with EVENT_IDX at the next used buffer, and leaves the available flags 0 (§2.7.7.1)', () => {
    const { raw, queue, list } = driverAt(3, true);
    expect(queue.arm()).toBe(false);
    expect(raw.usedEvent).toBe(3);
    const id = queue.offer(list);
    queue.expose();
    raw.setUsed(3, id, 0);
    raw.usedIndex = 4;
    expect(queue.arm(), 'one is there').toBe(true);
    expect(raw.memory.find(queue.layout.driverArea, 2)!.view.getUint16(queue.layout.driverArea, true)).toBe(0);
  });

  it('without EVENT_IDX always, and writes nothing for it', () => {
    const { raw, queue } = driverAt(2, false);
    raw.usedEvent = 0x1234;
    const before = raw.memory.regions[0]!.bytes.slice();
    expect(queue.arm()).toBe(false);
    expect(raw.memory.regions[0]!.bytes).toEqual(before);
  });
});
