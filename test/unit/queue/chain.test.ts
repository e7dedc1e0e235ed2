import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import { Chain } from '../../../src/queue/chain.ts';
import { pattern } from '../../support/rig.ts';
import { runs } from '../../support/runs.ts';

const GAP = 3;

/** A chain whose parts are cut into segments of these lengths, each a gap apart, over two regions in turn. */
function makeChain(readable: readonly number[], writable: readonly number[]): { chain: Chain; memory: GuestMemory } {
  const memory = new GuestMemory();
  const total = [...readable, ...writable].reduce((sum, length) => sum + length + GAP, GAP);
  const regions = [memory.add(0, new Uint8Array(total)), memory.add(2 ** 40, new Uint8Array(total))];
  const chain = new Chain(memory);
  chain.clear(5);
  let offset = GAP;
  for (const [n, length] of [...readable, ...writable].entries()) {
    const region = regions[n & 1]!;
    if (n < readable.length) chain.addReadable(region, offset, length);
    else chain.addWritable(region, offset, length);
    offset += length + GAP;
  }
  chain.live = true;
  return { chain, memory };
}

/** The bytes of a chain's part, one after the other, from where the driver put them. */
function flat(memory: GuestMemory, before: readonly number[], lengths: readonly number[]): Uint8Array {
  let offset = GAP + before.reduce((sum, length) => sum + length + GAP, 0);
  return Uint8Array.from(
    lengths.flatMap((length, n) => {
      const { bytes } = memory.regions[(before.length + n) & 1]!;
      const part = [...bytes.subarray(offset, offset + length)];
      offset += length + GAP;
      return part;
    }),
  );
}

const segments = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 });

it('reads the device-readable bytes the same, however the driver divided them (§2.7.4)', () => {
  fc.assert(
    fc.property(segments, segments, fc.nat(), fc.nat(), (readable, writable, a, b) => {
      const { chain, memory } = makeChain(readable, writable);
      for (const { bytes } of memory.regions) bytes.set(pattern(bytes.length));
      const all = flat(memory, [], readable);
      const view = new DataView(all.buffer);
      expect(chain.readableBytes).toBe(all.length);
      const start = a % (all.length + 1);
      const length = b % (all.length - start + 1);
      const target = new Uint8Array(length + 2);
      chain.read(start, target, 1, length);
      expect([...target]).toEqual([0, ...all.subarray(start, start + length), 0]);
      for (let at = 0; at < all.length; at++) {
        expect(chain.readU8(at)).toBe(all[at]);
        if (at + 2 <= all.length) expect(chain.readU16(at)).toBe(view.getUint16(at, true));
        if (at + 4 <= all.length) expect(chain.readU32(at)).toBe(view.getUint32(at, true));
      }
    }),
    runs(20260105, 150),
  );
});

it('writes the device-writable bytes, and none beside them, however the driver divided them (§2.7.4)', () => {
  fc.assert(
    fc.property(segments, segments, fc.nat(), fc.nat(), fc.nat(3), (readable, writable, a, b, lead) => {
      const { chain, memory } = makeChain(readable, writable);
      const told = memory.regions.map(({ bytes }) => bytes.slice());
      memory.onWrite = (address, length) => {
        const n = address >= 2 ** 40 ? 1 : 0;
        const at = address - memory.regions[n]!.address;
        told[n]!.set(memory.regions[n]!.bytes.subarray(at, at + length), at);
      };
      const start = a % (chain.writableBytes + 1);
      const length = b % (chain.writableBytes - start + 1);
      const source = pattern(length + lead, 3).map((byte) => byte | 1);
      chain.write(start, source, lead, length);
      const expected = new Uint8Array(chain.writableBytes);
      expected.set(source.subarray(lead), start);
      expect(flat(memory, readable, writable)).toEqual(expected);
      const changed = memory.regions.flatMap(({ bytes }) => [...bytes]).filter((byte) => byte !== 0).length;
      expect(changed).toBe(length);
      expect(told).toEqual(memory.regions.map(({ bytes }) => bytes));
      chain.writeU8(chain.writableBytes - 1, 0xee);
      expect(flat(memory, readable, writable).at(-1)).toBe(0xee);
    }),
    runs(20260106, 150),
  );
});

it('refuses positions beyond its parts', () => {
  const { chain } = makeChain([4, 4], [4, 4]);
  const bytes = new Uint8Array(16);
  const beyond: (() => unknown)[] = [
    () => chain.read(0, bytes, 0, 9),
    () => chain.read(8, bytes, 0, 1),
    () => chain.read(-1, bytes, 0, 1),
    () => chain.read(2, bytes, 0, -1),
    () => chain.write(0, bytes, 0, 9),
    () => chain.write(9, bytes, 0, 0),
    () => chain.readU8(8),
    () => chain.readU16(7),
    () => chain.readU32(5),
    () => chain.writeU8(8, 1),
    () => chain.writeU8(-1, 1),
  ];
  for (const action of beyond) expect(action).toThrow(RangeError);
  expect(() => chain.read(8, bytes, 0, 0)).not.toThrow();
});

it('refuses to take more bytes from a source, or to put more into a target, than there are', () => {
  const { chain, memory } = makeChain([8], [8]);
  for (const start of [0, 1, 5]) {
    expect(() => chain.write(0, new Uint8Array(4).fill(1), start, 5)).toThrow(RangeError);
    expect(() => chain.read(0, new Uint8Array(4), start, 5)).toThrow(RangeError);
  }
  expect(() => chain.write(0, new Uint8Array(4).fill(1), 2, 4)).toThrow(RangeError);
  expect(() => chain.write(0, new Uint8Array(4).fill(1), -1, 4)).toThrow(RangeError);
  expect(memory.regions.flatMap(({ bytes }) => [...bytes]).some((byte) => byte !== 0)).toBe(false);
});

it('is of no use after it was handed back or orphaned', () => {
  const { chain } = makeChain([4], [4]);
  chain.live = false;
  for (const action of [() => chain.readU8(0), () => chain.readU32(0), () => chain.writeU8(0, 1)]) {
    expect(action).toThrow(/handed back, or its queue was reset/);
  }
});

it('begins anew when its queue uses it again', () => {
  const { chain, memory } = makeChain([4, 4], [4]);
  chain.clear(9);
  chain.addWritable(memory.regions[0]!, 0, 2);
  expect([chain.id, chain.segments, chain.readableBytes, chain.writableBytes, chain.live]).toEqual([9, 1, 0, 2, false]);
});

it('a list of buffers has device-readable ones first, none of them empty', () => {
  const list = new BufferList().addReadable(1, 2).addWritable(3, 4).addWritable(5, 6);
  expect([list.count, list.readableCount, list.writableBytes]).toEqual([3, 1, 10]);
  expect(() => list.addReadable(7, 8)).toThrow(/come before/);
  for (const length of [0, -1, Number.NaN, 0.5, 2 ** 32]) expect(() => list.addWritable(7, length)).toThrow(RangeError);
  for (const address of [-1, Number.NaN, 2 ** 53]) expect(() => list.addWritable(address, 1)).toThrow(RangeError);
  expect(list.count).toBe(3);
  expect([list.clear().count, list.readableCount, list.writableBytes]).toEqual([0, 0, 0]);
});
