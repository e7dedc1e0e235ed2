import { describe, expect, it } from 'vitest';
import { GuestAllocator, type GuestSlice } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { SplitDriverQueue } from '../../../src/queue/split-driver-queue.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { queueKinds } from '../../support/queue-pair.ts';
import { RawQueue } from '../../support/raw-queue.ts';

const SIZE = 8;

/** A driver end with the device's side of its rings written by hand. */
function make(indirect = false): { queue: SplitDriverQueue; device: RawQueue; memory: GuestMemory; offer(): number } {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  const queue = new SplitDriverQueue(new GuestAllocator(memory, 0x1000, 0x3000), SIZE, { indirect, eventIdx: false });
  const device = new RawQueue(memory, SIZE, 0);
  device.layout = queue.layout;
  // Two device-readable descriptors, and two of together 12 device-writable bytes.
  const list = new BufferList()
    .addReadable(0x100, 16)
    .addReadable(0x110, 16)
    .addWritable(0x200, 8)
    .addWritable(0x208, 4);
  return { queue, device, memory, offer: () => queue.offer(list) };
}

function use(device: RawQueue, position: number, id: number, length: number): void {
  device.setUsed(position, id, length);
  device.usedIndex = position + 1;
}

interface Lie {
  readonly name: string;
  readonly rule: string;
  /** Two buffers, with the ids 0 and 4, are out; nothing is used yet. */
  tell(device: RawQueue): void;
}

const lies: readonly Lie[] = [
  { name: 'a descriptor that is no head', rule: 'split.device.used.id', tell: (device) => use(device, 0, 1, 0) },
  { name: 'an id as large as the queue', rule: 'split.device.used.id', tell: (device) => use(device, 0, SIZE, 0) },
  { name: 'an id of 32 bits', rule: 'split.device.used.id', tell: (device) => use(device, 0, 0xffff_ffff, 0) },
  {
    name: 'an id that is one with 2^16 added',
    rule: 'split.device.used.id',
    tell: (device) => use(device, 0, 0x1_0000, 0),
  },
  {
    name: 'one byte more than there is room for',
    rule: 'split.device.used.2',
    tell: (device) => use(device, 0, 4, 13),
  },
  { name: '2^32 - 1 bytes', rule: 'split.device.used.2', tell: (device) => use(device, 0, 4, 0xffff_ffff) },
  {
    name: 'more used buffers than are out',
    rule: 'split.device.used.index',
    tell: (device) => {
      use(device, 0, 0, 12);
      device.usedIndex = 3;
    },
  },
  {
    name: 'a used index that goes back',
    rule: 'split.device.used.index',
    tell: (device) => {
      device.usedIndex = 0xffff;
    },
  },
  {
    name: 'a used index half way round',
    rule: 'split.device.used.index',
    tell: (device) => {
      device.usedIndex = 0x8000;
    },
  },
];

describe('a driver end names the rule that its device breaks', () => {
  for (const { name, rule, tell } of lies) {
    it(name, () => {
      const { queue, device, offer } = make();
      expect([offer(), offer()]).toEqual([0, 4]);
      queue.expose();
      tell(device);
      expect(() => queue.collect()).toThrow(expect.objectContaining({ name: ProtocolError.name, rule }));
      expect(queue.outstanding, 'nothing came back').toBe(2);
    });
  }

  it('the same buffer twice', () => {
    const { queue, device, offer } = make();
    offer();
    offer();
    queue.expose();
    use(device, 0, 4, 12);
    use(device, 1, 4, 12);
    expect({ ...queue.collect() }).toEqual({ id: 4, written: 12 });
    expect(() => queue.collect()).toThrow(expect.objectContaining({ rule: 'split.device.used.id' }));
    expect(queue.outstanding).toBe(1);
  });

  it('a buffer that was offered but not shown to it yet', () => {
    for (const indirect of [false, true]) {
      const { queue, device, offer } = make(indirect);
      offer();
      queue.expose();
      const hidden = offer();
      use(device, 0, hidden, 0);
      expect(() => queue.collect()).toThrow(expect.objectContaining({ rule: 'split.device.used.id' }));
      expect([queue.outstanding, queue.hidden]).toEqual([2, 1]);
      use(device, 0, 0, 12);
      expect({ ...queue.collect() }).toEqual({ id: 0, written: 12 });
      queue.expose();
      use(device, 1, hidden, 12);
      expect({ ...queue.collect() }).toEqual({ id: hidden, written: 12 });
    }
  });

  it('a used index that goes back after a buffer came back', () => {
    const { queue, device, offer } = make();
    offer();
    offer();
    queue.expose();
    use(device, 0, 0, 12);
    queue.collect();
    device.usedIndex = 0;
    expect(() => queue.arm()).toThrow(expect.objectContaining({ rule: 'split.device.used.index' }));
  });
});

it('a device that scribbles over descriptors, tables and the available ring changes nothing of what is free', () => {
  for (const indirect of [false, true]) {
    const { queue, device, memory, offer } = make(indirect);
    const count = indirect ? SIZE : 2;
    const { descriptorArea, deviceArea } = queue.layout;
    for (let position = 0; position < 20 * count; position += count) {
      const ids = Array.from({ length: count }, offer);
      expect(new Set(ids).size).toBe(count);
      expect(offer(), 'the queue is full').toBe(-1);
      queue.expose();
      // All but the used ring: there it says what it did.
      memory.regions[0]!.bytes.fill(0xff, descriptorArea, deviceArea);
      for (const [n, id] of ids.entries()) use(device, position + n, id, 12);
      expect(ids.map(() => queue.collect()?.id)).toEqual(ids);
      expect(queue.collect()).toBeUndefined();
    }
  }
});

describe('the memory of a driver end', () => {
  for (const kind of queueKinds) {
    it(`comes back when it is released: ${kind.name}`, () => {
      const memory = GuestMemory.over(new Uint8Array(0x4000));
      const allocator = new GuestAllocator(memory, 0, 0x4000);
      const queue = kind.makeDriver(allocator, SIZE);
      queue.offer(new BufferList().addReadable(0, 1).addWritable(1, 1));
      queue.offer(new BufferList().addReadable(0, 1).addWritable(1, 1));
      queue.release();
      expect(allocator.freeBytes).toBe(0x4000);
    });

    it(`may end in the middle of an offer, which then has not been: ${kind.name}`, () => {
      const memory = GuestMemory.over(new Uint8Array(0x4000));
      const allocator = new GuestAllocator(memory, 0, 0x4000);
      const queue = kind.makeDriver(allocator, SIZE);
      const short = new BufferList().addReadable(0, 1).addWritable(1, 1);
      const long = new BufferList();
      for (let n = 0; n < SIZE; n++) long.addWritable(n, 1);
      const device = kind.makeDevice(memory, queue);
      const rest: GuestSlice[] = [];
      while (allocator.freeBytes >= 64) rest.push(allocator.allocate(32));
      if (kind.features.indirect) expect(() => queue.offer(long)).toThrow(/guest memory left/);
      for (let round = 0; round < 2 * SIZE; round++) {
        const id = queue.offer(short);
        queue.expose();
        device.complete(device.take()!, 0);
        device.publish();
        expect(queue.collect()?.id).toBe(id);
      }
      for (const slice of rest) allocator.release(slice);
      expect(queue.offer(long)).toBeGreaterThanOrEqual(0);
      queue.release();
      expect(allocator.freeBytes).toBe(0x4000);
    });

    it(`is all of it or none: ${kind.name}`, () => {
      const memory = GuestMemory.over(new Uint8Array(0x4000));
      const allocator = new GuestAllocator(memory, 0, 130);
      expect(() => kind.makeDriver(allocator, SIZE)).toThrow(/no \d+ bytes of guest memory left/);
      for (const size of [0, 65536, -1, 0.5, Number.NaN, ...(kind.anySize ? [] : [3])]) {
        expect(() => kind.makeDriver(allocator, size)).toThrow(/queue of/);
      }
      expect(allocator.freeBytes).toBe(130);
    });
  }
});
