import { describe, expect, it } from 'vitest';
import type { Disk, DiskRequest } from '../../../src/devices/block/disk.ts';
import { defaultTopology } from '../../../src/devices/block/disk.ts';
import { diskContents, flushDisk, MemoryDisk, readDisk, writeDisk } from '../../../src/storage/index.ts';
import { pattern } from './disk-model.ts';

/** A disk that does what the test says with each request. */
function diskThat(submit: (request: DiskRequest) => void, supportsFlush: 'flush' | 'no flush' = 'flush'): Disk {
  return {
    capacitySectors: 100,
    readOnly: false,
    identity: '',
    topology: defaultTopology,
    supports: { flush: supportsFlush === 'flush', discard: false, writeZeroes: false },
    onResize: undefined,
    submit,
    close: async () => undefined,
  };
}

describe('using a disk without a device', () => {
  it('rejects with the error that the disk failed with', async () => {
    const error = new Error('no such medium');
    const disk = diskThat((request) => request.fail(error));
    await expect(readDisk(disk, 0, 512)).rejects.toBe(error);
    await expect(writeDisk(disk, 0, pattern(512, 1))).rejects.toBe(error);
    await expect(flushDisk(disk)).rejects.toBe(error);
  });

  it('does not send a flush to a disk that has none', async () => {
    const seen: string[] = [];
    const disk = diskThat((request) => seen.push(request.operation), 'no flush');
    await flushDisk(disk);
    expect(seen).toEqual([]);
  });

  it('tells a disk that it broke the rules of a request', async () => {
    const faults: Error[] = [];
    const attempt = (action: () => void): void => {
      try {
        action();
      } catch (fault) {
        faults.push(fault as Error);
      }
    };
    const disk = diskThat((request) => {
      attempt(() => request.copyData(0, new Uint8Array(512), 0, 512));
      attempt(() => request.putData(1, new Uint8Array(512), 0, 512));
      attempt(() => request.putData(0, new Uint8Array(511), 0, 512));
      request.complete();
      attempt(() => request.complete());
      attempt(() => request.putData(0, new Uint8Array(512), 0, 512));
    });
    await readDisk(disk, 0, 512);
    expect(faults.map(({ message }) => message.slice(0, 50))).toEqual([
      'The disk called copyData on a read: that is a faul',
      'The disk called putData for bytes 1 to 513 of 512:',
      'The disk gave an array too short for 512 bytes: th',
      'The disk finished a read twice: that is a fault of',
      'The disk called putData on a finished request: tha',
    ]);
  });

  it('refuses an impossible length', async () => {
    await expect(readDisk(new MemoryDisk({ capacitySectors: 1 }), 0, -512)).rejects.toThrow(RangeError);
  });
});

describe('the contents of a disk', () => {
  it('come in chunks, the last one shorter', async () => {
    const bytes = pattern(11 * 512, 1);
    const lengths: number[] = [];
    const parts: Uint8Array[] = [];
    for await (const part of diskContents(new MemoryDisk({ bytes }), 4096)) {
      lengths.push(part.length);
      parts.push(part);
    }
    expect(lengths).toEqual([4096, 1536]);
    expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
  });

  it('come in whole sectors only', async () => {
    await expect(diskContents(new MemoryDisk({ capacitySectors: 1 }), 1000).next()).rejects.toThrow('multiple of 512');
  });
});
