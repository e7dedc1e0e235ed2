import { expect, it } from 'vitest';
import { GuestMemory, joinU64 } from '../../../src/memory/guest-memory.ts';
import { loadAcquire, storeRelease } from '../../../src/memory/order.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';

it('finds the region that holds all bytes of a range, and no other', () => {
  const memory = new GuestMemory();
  const low = memory.add(0x1000, new Uint8Array(0x1000));
  const high = memory.add(2 ** 40, new Uint8Array(0x2000));
  expect(memory.find(0x1000, 0x1000)).toBe(low);
  expect(memory.find(0x1fff, 1)).toBe(low);
  expect(memory.find(2 ** 40 + 0x1ffe, 2)).toBe(high);
  expect(memory.find(0xfff, 1)).toBeUndefined();
  expect(memory.find(0xfff, 2)).toBeUndefined();
  expect(memory.find(0x1fff, 2)).toBeUndefined();
  expect(memory.find(0x2000, 1)).toBeUndefined();
  expect(memory.find(2 ** 40 - 1, 2)).toBeUndefined();
  expect(memory.find(2 ** 40 + 0x2000, 1)).toBeUndefined();
});

it('does not join two regions that touch: a range across them is not contiguous for a device', () => {
  const memory = new GuestMemory();
  memory.add(0, new Uint8Array(0x100));
  memory.add(0x100, new Uint8Array(0x100));
  expect(memory.find(0x80, 0x80)?.address).toBe(0);
  expect(memory.find(0x100, 0x80)?.address).toBe(0x100);
  expect(memory.find(0xff, 2)).toBeUndefined();
});

it('finds what lies across two regions in a seam, and only that', () => {
  const memory = new GuestMemory();
  const bytes = new Uint8Array(0x200);
  const low = memory.add(0, bytes.subarray(0, 0x100));
  const high = memory.add(0x100, bytes.subarray(0x100));
  const seam = memory.addSeam(0xc0, bytes.subarray(0xc0, 0x140));
  expect(memory.regions).toEqual([low, high]);
  expect([memory.find(0xc0, 0x40), memory.find(0x100, 0x40)]).toEqual([low, high]);
  for (const [address, length] of [
    [0xff, 2],
    [0xc0, 0x80],
  ] as const)
    expect(memory.find(address, length)).toBe(seam);
  for (const [address, length] of [
    [0xbf, 0x80],
    [0xc0, 0x81],
    [0, 0x200],
  ] as const)
    expect(memory.find(address, length)).toBeUndefined();
  const { generation } = memory;
  memory.remove(seam);
  expect(memory.generation).toBeGreaterThan(generation);
  expect(memory.find(0xff, 2)).toBeUndefined();
});

it('has nothing at addresses that no double can hold exactly, nor at ends beyond 2^53', () => {
  const memory = GuestMemory.over(new Uint8Array(0x1000));
  for (const [low, high] of [
    [0, 0x20_0000],
    [0xffff_ffff, 0xffff_ffff],
    [0xffff_f000, 0xffff_ffff],
    [0, 0x8000_0000],
  ] as const) {
    expect(memory.find(joinU64(low, high), 1)).toBeUndefined();
    expect(memory.find(joinU64(low, high), 0xffff_ffff)).toBeUndefined();
  }
  expect(memory.find(Number.MAX_SAFE_INTEGER, 0xffff_ffff)).toBeUndefined();
});

it('joins the halves of a u64', () => {
  expect(joinU64(0xffff_ffff, 0)).toBe(0xffff_ffff);
  expect(joinU64(1, 1)).toBe(0x1_0000_0001);
  expect(joinU64(0xffff_ffff, 0x1f_ffff)).toBe(Number.MAX_SAFE_INTEGER);
  expect(joinU64(0, 0x20_0000)).toBe(2 ** 53);
});

it('blames the peer, with the rule and the range, for what it located outside', () => {
  const memory = GuestMemory.over(new Uint8Array(0x1000));
  expect(memory.locate(0xff0, 16, 'some.rule', 'a table').address).toBe(0);
  const locate = (): unknown => memory.locate(0xff1, 16, 'some.rule', 'a table');
  expect(locate).toThrow(ProtocolError);
  expect(locate).toThrow(/a table: 16 bytes at 0xff1 are not in guest memory \[some\.rule\]/);
});

it('refuses regions that overlap or are not addressable, and keeps what it had', () => {
  const memory = new GuestMemory();
  memory.add(0x1000, new Uint8Array(0x1000));
  for (const [address, size] of [
    [0x1000, 1],
    [0x1ffe, 2],
    [0, 0x1001],
    [0, 0x4000],
  ] as const) {
    expect(() => memory.add(address, new Uint8Array(size))).toThrow(/overlaps/);
  }
  for (const address of [-2, 1, 0.5, Number.NaN, 2 ** 53, Number.MAX_SAFE_INTEGER - 1]) {
    expect(() => memory.add(address, new Uint8Array(0x10))).toThrow(RangeError);
  }
  expect(() => memory.add(0x4000, new Uint8Array(0x11).subarray(1))).toThrow(/odd offset/);
  expect(memory.regions).toHaveLength(1);
  expect(memory.find(0x4000, 1)).toBeUndefined();
});

it('forgets a region that was removed, also the one that was found last', () => {
  const memory = new GuestMemory();
  const region = memory.add(0x1000, new Uint8Array(0x1000));
  expect(memory.find(0x1000, 1)).toBe(region);
  const before = memory.generation;
  memory.remove(region);
  expect(memory.generation).not.toBe(before);
  expect(memory.find(0x1000, 1)).toBeUndefined();
  expect(() => memory.remove(region)).toThrow(RangeError);
  expect(() => memory.replace(region, new Uint8Array(0x1000))).toThrow(RangeError);
});

it('shows other bytes through a region after they were replaced', () => {
  const memory = new GuestMemory();
  const region = memory.add(0x1000, new Uint8Array(0x100));
  const bytes = new Uint8Array(0x200).subarray(0x100);
  const before = memory.generation;
  memory.replace(region, bytes);
  expect(memory.generation).not.toBe(before);
  region.view.setUint16(0x10, 0xabcd, true);
  expect([bytes[0x10], bytes[0x11]]).toEqual([0xcd, 0xab]);
  expect(region.words[8]).toBe(0xabcd);
  expect(memory.find(0x1000, 0x100)?.bytes).toBe(bytes);
  expect(() => memory.replace(region, new Uint8Array(0xff))).toThrow(/given 255/);
});

it('keeps words, view and bytes over one memory, for a region that starts anywhere in its buffer', () => {
  const buffer = new SharedArrayBuffer(0x100);
  const memory = new GuestMemory();
  const region = memory.add(0x2000, new Uint8Array(buffer, 0x42, 0x21));
  storeRelease(region, 6, 0x1234);
  expect(region.view.getUint16(6, true)).toBe(0x1234);
  expect(new Uint8Array(buffer)[0x48]).toBe(0x34);
  region.bytes[7] = 0xff;
  expect(loadAcquire(region, 6)).toBe(0xff34);
  expect(region.words).toHaveLength(0x10);
});

it('takes bytes for shared when they are in a SharedArrayBuffer, or when it is told that another process has them', () => {
  const memory = new GuestMemory();
  expect(memory.add(0x0000, new Uint8Array(0x10)).shared).toBe(false);
  expect(memory.add(0x1000, new Uint8Array(new SharedArrayBuffer(0x10))).shared).toBe(true);
  const region = memory.add(0x2000, new Uint8Array(0x10), { shared: true });
  expect(region.shared).toBe(true);
  memory.replace(region, new Uint8Array(0x10));
  expect(region.shared).toBe(true);
});

it('makes an area of just the bytes that were asked for, and of nothing that is not memory', () => {
  const memory = new GuestMemory();
  const bytes = new Uint8Array(0x100);
  const region = memory.add(0x1000, bytes, { shared: true });
  const area = memory.area(0x1010, 6, 'a.rule', 'a ring');
  expect({ ...area, bytes: area.bytes.length, view: area.view.byteLength, words: area.words.length }).toEqual({
    address: 0x1010,
    size: 6,
    bytes: 6,
    view: 6,
    words: 3,
    shared: true,
  });
  storeRelease(area, 4, 0xbeef);
  expect([area.view.getUint16(4, true), region.view.getUint16(0x14, true)]).toEqual([0xbeef, 0xbeef]);
  expect(() => area.view.getUint16(5, true)).toThrow(RangeError);
  expect(() => memory.area(0x10fe, 4, 'a.rule', 'a ring')).toThrow(ProtocolError);
});
