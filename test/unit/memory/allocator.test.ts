import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GuestAllocator, type GuestSlice } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';

const SIZE = 0x1000;

function make(address = 0): { memory: GuestMemory; allocator: GuestAllocator } {
  const memory = new GuestMemory();
  memory.add(address, new Uint8Array(SIZE).fill(0xaa));
  return { memory, allocator: new GuestAllocator(memory, address, SIZE) };
}

it('hands out zeroed, aligned pieces of its range', () => {
  const { allocator } = make(2 ** 33);
  allocator.allocate(3);
  const slice = allocator.allocate(100, 64);
  expect(slice.address % 64).toBe(0);
  expect(slice.offset).toBe(slice.address - 2 ** 33);
  expect([...slice.region.bytes.subarray(slice.offset, slice.offset + 100)]).toEqual(new Array(100).fill(0));
  expect(slice.region.bytes[slice.offset + 100]).toBe(0xaa);
});

it('says so when there is none left, and has all of it again after the releases in any order', () => {
  const { allocator } = make();
  const slices = Array.from({ length: 4 }, () => allocator.allocate(SIZE / 4));
  expect(allocator.freeBytes).toBe(0);
  expect(() => allocator.allocate(1)).toThrow(/no 1 bytes of guest memory left/);
  for (const n of [2, 0, 3, 1]) allocator.release(slices[n]!);
  expect(allocator.freeBytes).toBe(SIZE);
  expect(allocator.allocate(SIZE).address).toBe(0);
});

it('refuses a range that is not in guest memory', () => {
  const memory = GuestMemory.over(new Uint8Array(SIZE));
  expect(() => new GuestAllocator(memory, 0x10, SIZE)).toThrow(RangeError);
});

it('refuses lengths and alignments that make no sense', () => {
  const { allocator } = make();
  for (const length of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => allocator.allocate(length)).toThrow(RangeError);
  }
  for (const alignment of [0, -16, 3, Number.NaN]) expect(() => allocator.allocate(16, alignment)).toThrow(RangeError);
  expect(allocator.freeBytes).toBe(SIZE);
});

it('refuses to take a piece back twice, and is as it was then', () => {
  const { allocator } = make();
  const [first, second, third] = [allocator.allocate(64), allocator.allocate(64), allocator.allocate(64)];
  allocator.release(first);
  allocator.release(third);
  const free = allocator.freeBytes;
  for (const slice of [first, third, { ...second, length: 65 }, { ...second, address: second.address - 1 }]) {
    expect(() => allocator.release(slice)).toThrow(/released before/);
    expect(allocator.freeBytes).toBe(free);
  }
  allocator.release(second);
  expect(allocator.allocate(SIZE).address).toBe(0);
});

it('never gives the same byte to two owners, and loses none', () => {
  const action = fc.oneof(
    fc.record({ length: fc.integer({ min: 1, max: 700 }), alignment: fc.constantFrom(1, 2, 4, 16, 64, 256) }),
    fc.record({ release: fc.nat(30) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const { allocator } = make(0x10);
      const held: GuestSlice[] = [];
      for (const step of actions) {
        if ('release' in step) {
          const [slice] = held.splice(step.release % Math.max(1, held.length), 1);
          if (slice !== undefined) allocator.release(slice);
        } else allocateOrFindFull(allocator, step.length, step.alignment, held);
        const used = held.reduce((sum, { length }) => sum + length, 0);
        expect(allocator.freeBytes).toBe(SIZE - used);
      }
      for (const slice of held) allocator.release(slice);
      expect(allocator.allocate(SIZE).address).toBe(0x10);
    }),
    { seed: 20260101, numRuns: 150 },
  );
});

function allocateOrFindFull(allocator: GuestAllocator, length: number, alignment: number, held: GuestSlice[]): void {
  let slice: GuestSlice;
  try {
    slice = allocator.allocate(length, alignment);
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return;
  }
  expect(slice.address % alignment).toBe(0);
  for (const other of held) {
    const apart = slice.address + slice.length <= other.address || other.address + other.length <= slice.address;
    expect(apart).toBe(true);
  }
  held.push(slice);
}
