import { describe, expect, it } from 'vitest';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { PackedDriverQueue } from '../../../src/queue/packed-driver-queue.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { PackedDescriptor, PackedFlag } from '../../../src/spec/packed-ring.ts';

const SIZE = 8;
const { AVAILABLE, USED, WRITE } = PackedFlag;

interface Ends {
  readonly queue: PackedDriverQueue;
  readonly memory: GuestMemory;
  /** A buffer of two device-readable and two device-writable descriptors, these of 12 bytes. */
  offer(): number;
  /** Writes a used descriptor, in the first round. */
  use(at: number, id: number, length: number, flags?: number): void;
}

function make(indirect = false): Ends {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  const allocator = new GuestAllocator(memory, 0x1000, 0x3000);
  const queue = new PackedDriverQueue(allocator, SIZE, { indirect, eventIdx: false });
  const list = new BufferList()
    .addReadable(0x100, 16)
    .addReadable(0x110, 16)
    .addWritable(0x200, 8)
    .addWritable(0x208, 4);
  const { view } = memory.regions[0]!;
  const use = (at: number, id: number, length: number, flags: number = AVAILABLE | USED | WRITE): void => {
    const start = queue.layout.descriptorArea + PackedDescriptor.SIZE * at;
    view.setUint32(start + PackedDescriptor.LENGTH, length, true);
    view.setUint16(start + PackedDescriptor.ID, id, true);
    view.setUint16(start + PackedDescriptor.FLAGS, flags, true);
  };
  return { queue, memory, offer: () => queue.offer(list), use };
}

const lies: readonly [string, string, (ends: Ends) => void][] = [
  ['an id that was not given out', 'packed.device.used.id', ({ use }) => use(0, 2, 0)],
  ['an id as large as the queue', 'packed.device.used.id', ({ use }) => use(0, SIZE, 0)],
  ['an id of 16 bits', 'packed.device.used.id', ({ use }) => use(0, 0xffff, 0)],
  ['one byte more than there is room for', 'packed.device.used.length', ({ use }) => use(0, 1, 13)],
  ['2^32 - 1 bytes', 'packed.device.used.length', ({ use }) => use(0, 1, 0xffff_ffff)],
];

describe('a packed driver end names the rule that its device breaks', () => {
  it.each(lies)('%s', (_, rule, tell) => {
    const ends = make();
    expect([ends.offer(), ends.offer()]).toEqual([0, 1]);
    ends.queue.expose();
    tell(ends);
    expect(() => ends.queue.collect()).toThrow(expect.objectContaining({ name: ProtocolError.name, rule }));
    expect(ends.queue.outstanding, 'nothing came back').toBe(2);
  });

  it('the same buffer twice', () => {
    const { queue, offer, use } = make();
    offer();
    offer();
    queue.expose();
    use(0, 1, 12);
    use(4, 1, 12);
    expect({ ...queue.collect() }).toEqual({ id: 1, written: 12 });
    expect(() => queue.collect()).toThrow(expect.objectContaining({ rule: 'packed.device.used.id' }));
    expect(queue.outstanding).toBe(1);
  });

  it('a buffer while none is out', () => {
    for (const indirect of [false, true]) {
      const { queue, offer, use } = make(indirect);
      use(0, 0, 0);
      expect(() => queue.collect()).toThrow(expect.objectContaining({ rule: 'packed.device.used.id' }));
      expect(() => queue.arm()).toThrow(expect.objectContaining({ rule: 'packed.device.used.id' }));
      offer();
      expect(queue.outstanding).toBe(1);
    }
  });

  it('a buffer that was offered but not shown to it yet', () => {
    const { queue, offer, use } = make(true);
    const shown = offer();
    queue.expose();
    const hidden = offer();
    use(0, hidden, 0);
    expect(() => queue.collect()).toThrow(expect.objectContaining({ rule: 'packed.device.used.id' }));
    expect([queue.outstanding, queue.hidden]).toEqual([2, 1]);
    use(0, shown, 12);
    expect({ ...queue.collect() }).toEqual({ id: shown, written: 12 });
  });
});

it('a packed driver end sees nothing in marks that are not those of its round', () => {
  const { queue, offer, use } = make();
  offer();
  queue.expose();
  for (const marks of [0, AVAILABLE, USED]) {
    use(0, 0, 0, marks);
    expect(queue.collect()).toBeUndefined();
  }
});

it('a device that scribbles over what it has not used changes nothing of what is free', () => {
  for (const indirect of [false, true]) {
    const { queue, memory, offer, use } = make(indirect);
    const count = indirect ? SIZE : 2;
    const { descriptorArea } = queue.layout;
    for (let round = 0; round < 20; round++) {
      const ids = Array.from({ length: count }, offer);
      expect(new Set(ids).size).toBe(count);
      expect(offer(), 'the queue is full').toBe(-1);
      queue.expose();
      const marks = round % 2 === 0 ? AVAILABLE | USED : 0;
      memory.regions[0]!.bytes.fill(round % 2 === 0 ? 0x55 : 0xaa, descriptorArea, descriptorArea + 16 * SIZE);
      for (const [n, id] of ids.entries()) use(indirect ? n : 4 * n, id, 12, marks | WRITE);
      expect(ids.map(() => queue.collect()?.id)).toEqual(ids);
      expect(queue.collect()).toBeUndefined();
    }
  }
});

describe('a used descriptor without WRITE', () => {
  const withoutWrite = (length: number): number => {
    const { queue, offer, use } = make();
    offer();
    queue.expose();
    use(0, 0, length, AVAILABLE | USED);
    return queue.collect()!.written;
  };

  it('is believed when its length fits, as those of QEMU', () => {
    expect([0, 1, 12].map(withoutWrite)).toEqual([0, 1, 12]);
  });

  it('has written nothing when it does not (§2.8.4: the field is reserved)', () => {
    expect([13, 0xffff_ffff].map(withoutWrite)).toEqual([0, 0]);
  });
});
