import { describe, expect, it } from 'vitest';
import type { DiskRequest } from '../../../src/devices/block/disk.ts';
import { discardDisk, MemoryDisk, readDisk, writeDisk, writeZeroesDisk } from '../../../src/storage/index.ts';
import { pattern } from './disk-model.ts';

/** What the disk allocates at a time. */
const BLOCK = 64 * 1024;

/** A request that only records what the disk does with it. */
function recorder(operation: DiskRequest['operation'], position: number, length: number) {
  const puts: unknown[][] = [];
  const ends: string[] = [];
  const request: DiskRequest = {
    operation,
    position,
    length,
    mayUnmap: false,
    copyData: () => {
      throw new Error('the device was reset');
    },
    putData: (...put) => puts.push(put),
    complete: () => ends.push('complete'),
    fail: (error) => ends.push(error.message),
  };
  return { request, puts, ends };
}

describe('a disk in memory', () => {
  it('allocates a block of 64 KiB at its first write and none for reads', async () => {
    const disk = new MemoryDisk({ capacitySectors: 2 ** 31 });
    expect(disk.allocatedBytes).toBe(0);
    await readDisk(disk, 2 ** 39, 2 * BLOCK);
    expect(disk.allocatedBytes).toBe(0);
    await writeDisk(disk, 2 ** 39 - 512, pattern(1024, 1));
    expect(disk.allocatedBytes).toBe(2 * BLOCK);
    expect(await readDisk(disk, 2 ** 39 - 512, 1024)).toEqual(pattern(1024, 1));
  });

  it('drops whole blocks at a discard and at a write of zeroes, also of a large range', async () => {
    const disk = new MemoryDisk({ capacitySectors: 2 ** 31 });
    await writeDisk(disk, 0, pattern(5 * BLOCK, 1));
    await discardDisk(disk, 512, 2 * BLOCK);
    expect(disk.allocatedBytes).toBe(4 * BLOCK);
    await writeZeroesDisk(disk, BLOCK, 2 ** 31);
    expect(disk.allocatedBytes).toBe(BLOCK);
    expect(await readDisk(disk, 0, 512)).toEqual(pattern(512, 1));
  });

  it('finishes a read within one block in submit, with one putData of the block itself', async () => {
    const disk = new MemoryDisk({ bytes: pattern(3 * BLOCK, 1) });
    const first = recorder('read', BLOCK + 4096, BLOCK - 4096);
    const second = recorder('read', BLOCK, 512);
    disk.submit(first.request);
    disk.submit(second.request);
    expect(first.ends).toEqual(['complete']);
    expect(first.puts).toHaveLength(1);
    const [start, block, offset, length] = first.puts[0]!;
    expect([start, offset, length]).toEqual([0, 4096, BLOCK - 4096]);
    expect(second.puts[0]![1]).toBe(block);
  });

  it('copies the bytes that it is made of, without the blocks that are zero', async () => {
    const bytes = new Uint8Array(10 * BLOCK + 512);
    bytes.set(pattern(512, 1), 10 * BLOCK);
    const disk = new MemoryDisk({ bytes });
    expect(disk.capacitySectors).toBe(10 * 128 + 1);
    expect(disk.allocatedBytes).toBe(BLOCK);
    bytes.fill(0xff);
    expect(await readDisk(disk, 10 * BLOCK, 512)).toEqual(pattern(512, 1));
  });

  it('shows zeroes where it was cut off and grew again', async () => {
    const disk = new MemoryDisk({ bytes: pattern(16 * 512, 1) });
    disk.resize(3);
    disk.resize(16);
    expect(await readDisk(disk, 0, 3 * 512)).toEqual(pattern(16 * 512, 1).subarray(0, 3 * 512));
    expect(await readDisk(disk, 3 * 512, 13 * 512)).toEqual(new Uint8Array(13 * 512));
  });

  it('fails a write whose device was reset, and every change of a read-only disk', async () => {
    const write = recorder('write', 0, 512);
    new MemoryDisk({ capacitySectors: 8 }).submit(write.request);
    expect(write.ends).toEqual(['the device was reset']);

    const disk = new MemoryDisk({ bytes: pattern(512, 1), readOnly: true });
    expect(disk.readOnly).toBe(true);
    await expect(writeDisk(disk, 0, pattern(512, 2))).rejects.toThrow('read-only');
    await expect(discardDisk(disk, 0, 512)).rejects.toThrow('read-only');
    await expect(writeZeroesDisk(disk, 0, 512)).rejects.toThrow('read-only');
    expect(await readDisk(disk, 0, 512)).toEqual(pattern(512, 1));
  });
});

describe('the options of a disk', () => {
  it('name what no disk can have', () => {
    for (const capacitySectors of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
      expect(() => new MemoryDisk({ capacitySectors })).toThrow(`${capacitySectors} sectors`);
    }
    expect(() => new MemoryDisk({ bytes: new Uint8Array(0) })).toThrow('0 bytes');
    expect(() => new MemoryDisk({ bytes: new Uint8Array(513) })).toThrow('513 bytes');
    expect(() => new MemoryDisk({ capacitySectors: 1, identity: 'x'.repeat(21) })).toThrow('20 printable ASCII');
    expect(() => new MemoryDisk({ capacitySectors: 1, identity: 'Plätte' })).toThrow('Plätte');
    const topologies = [
      { blockSize: 256 },
      { blockSize: 1000 },
      { physicalBlockExponent: 256 },
      { alignmentOffset: -1 },
      { minimumBlocks: 65536 },
      { optimalBlocks: 0.5 },
    ];
    for (const topology of topologies) {
      expect(() => new MemoryDisk({ capacitySectors: 1, topology })).toThrow(
        `topology's ${Object.keys(topology)[0]} is`,
      );
    }
  });

  it('are what the driver is told', () => {
    const disk = new MemoryDisk({ capacitySectors: 1, identity: 'root disk', topology: { blockSize: 4096 } });
    expect(disk.identity).toBe('root disk');
    expect(disk.topology).toEqual({
      blockSize: 4096,
      physicalBlockExponent: 0,
      alignmentOffset: 0,
      minimumBlocks: 0,
      optimalBlocks: 0,
    });
  });
});
