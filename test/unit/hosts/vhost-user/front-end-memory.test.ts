import { readSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FrontEndMemory, type RegionDescription } from '../../../../src/hosts/vhost-user/front-end-memory.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { ProtocolError } from '../../../../src/spec/fault.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { openFds } from '../../unix/open-fds.ts';

const GIB = 2 ** 30;
const MOST_REGIONS = 4;

let shared: FrontEndMemory;
let memory: GuestMemory;
let fd: number;
let fdsBefore: number;
beforeEach(() => {
  fdsBefore = openFds();
  memory = new GuestMemory();
  shared = new FrontEndMemory(memory, MOST_REGIONS);
  fd = memfd(8 * GIB);
});
afterEach(() => {
  shared.clear();
  closeFd(fd);
  expect(openFds()).toBe(fdsBefore);
  expect(memory.regions).toEqual([]);
});

const region = (guestAddress: number, size: number, fileOffset = 0): RegionDescription => {
  return { guestAddress, size, userAddress: 2 ** 45 + guestAddress, fileOffset };
};

describe('the memory of a front-end', () => {
  it('is seen in pieces where it is larger than a view can be', () => {
    shared.add(region(3 * GIB, 6 * GIB, GIB), fd);
    expect(shared.extent).toEqual({ regions: 1, bytes: 6 * GIB });
    for (const address of [3 * GIB, 4 * GIB - 4, 4 * GIB, 8 * GIB - 4, 8 * GIB, 9 * GIB - 4]) {
      const found = memory.find(address, 4)!;
      found.view.setUint32(address - found.address, address / 4, true);
      const bytes = Buffer.alloc(4);
      readSync(fd, bytes, 0, 4, GIB + address - 3 * GIB);
      expect(bytes.readUInt32LE()).toBe(address / 4);
    }
    const across = memory.find(4 * GIB - 2, 4)!;
    across.view.setUint32(4 * GIB - 2 - across.address, 0x1234_5678);
    const pieces = [4 * GIB - 2, 4 * GIB].map((at) => {
      const piece = memory.find(at, 2)!;
      return piece.view.getUint16(at - piece.address);
    });
    expect(pieces).toEqual([0x1234, 0x5678]);
    expect(memory.find(4 * GIB - (64 << 20), 128 << 20)).toBeDefined();
    expect(memory.find(4 * GIB - (64 << 20) - 1, 128 << 20)).toBeUndefined();
    expect(memory.find(7 * GIB, 2 * GIB)).toBeUndefined();
    expect(shared.toGuest(2 ** 45 + 8 * GIB + 16, 'a ring')).toBe(8 * GIB + 16);
    shared.remove(region(3 * GIB, 6 * GIB));
    expect(shared.extent).toEqual({ regions: 0, bytes: 0 });
  });

  it('is replaced as a whole, or stays as it was', () => {
    writeSync(fd, 'old', 0);
    shared.replace([region(0, 4096)], [fd]);
    const small = memfd(100);
    expect(() => shared.replace([region(0, 8192), region(GIB, 4096)], [fd, small])).toThrow(/cannot be mapped/);
    expect(() => shared.replace([region(0, 8192), region(4096, 4096)], [fd, fd])).toThrow(ProtocolError);
    expect(shared.extent).toEqual({ regions: 1, bytes: 4096 });
    expect(Buffer.from(memory.regions[0]!.bytes.subarray(0, 3)).toString()).toBe('old');
    shared.replace([region(GIB, 100)], [small]);
    expect(memory.regions.map(({ address, size }) => [address, size])).toEqual([[GIB, 100]]);
    closeFd(small);
  });

  it('refuses what is no memory', () => {
    const wrong: readonly RegionDescription[] = [
      region(0, 0),
      region(1, 4096),
      region(0, 4096, 1),
      region(2 ** 53 - 4096, 8192),
      region(0, 2 ** 42),
      { ...region(0, 4096), userAddress: 2 ** 60 },
    ];
    for (const each of wrong) expect(() => shared.add(each, fd)).toThrow(ProtocolError);
    for (let n = 0; n < MOST_REGIONS; n++) shared.add(region(n * GIB, 4096), fd);
    expect(() => shared.add(region(MOST_REGIONS * GIB, 4096), fd)).toThrow(/at most 4 can be/);
    expect(() => shared.remove(region(GIB, 8192))).toThrow(ProtocolError);
    expect(() => shared.toGuest(5, 'a ring')).toThrow(/is in no region/);
  });
});
