import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { StateError, TransportError } from '../../../src/spec/fault.ts';
import { type FileDiskOptions, openFileDisk } from '../../../src/storage/file.ts';
import {
  discardDisk,
  flushDisk,
  OverlayDisk,
  readDisk,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';
import { type FileCalls, nodeFileCalls } from '../../../src/storage/node/file-calls.ts';
import { contentsOf, expectSame, pattern } from './disk-model.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
const bytes = pattern(2048 * 512, 1);

function imagePath(): string {
  const path = folder.path('file disk.img');
  writeFileSync(path, bytes);
  return path;
}

async function openImage(options: FileDiskOptions = {}) {
  const path = imagePath();
  return { path, disk: await openFileDisk(path, options) };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}

describe('a file as a disk', () => {
  it('is known by its name, or as it is told', async () => {
    const named = await openImage();
    expect([named.disk.identity, named.disk.capacitySectors, named.disk.readOnly]).toEqual([
      'file disk.img',
      2048,
      false,
    ]);
    await named.disk.close();
    const told = await openImage({ identity: 'root', topology: { blockSize: 4096 }, readOnly: true });
    expect([told.disk.identity, told.disk.topology.blockSize, told.disk.readOnly]).toEqual(['root', 4096, true]);
    expect(told.disk.supports).toEqual({ flush: true, discard: false, writeZeroes: false });
    await told.disk.close();
    await expect(openImage({ identity: 'x'.repeat(21) })).rejects.toThrow(RangeError);
  });

  it('has in the file what was written, after close', async () => {
    const { path, disk } = await openImage();
    await writeDisk(disk, 512, pattern(1024, 2));
    await disk.close();
    await disk.close();
    const expected = bytes.slice();
    expected.set(pattern(1024, 2), 512);
    expectSame(readFileSync(path), expected, 'the file');
  });

  it('calls fdatasync at a flush, once for each, after the writes that were finished', async () => {
    const calls: string[] = [];
    const { disk } = await openImage({
      calls: {
        ...nodeFileCalls,
        write: (fd, data, offset, length, position, done) =>
          nodeFileCalls.write(fd, data, offset, length, position, (error, count) => {
            calls.push('written');
            done(error, count);
          }),
        fdatasync: (fd, done) => {
          calls.push('fdatasync');
          nodeFileCalls.fdatasync(fd, (error) => {
            calls.push('stable');
            done(error);
          });
        },
      },
    });
    await writeDisk(disk, 0, pattern(512, 2));
    expect(calls).toEqual(['written']);
    await flushDisk(disk).then(() => calls.push('flushed'));
    await flushDisk(disk);
    expect(calls).toEqual(['written', 'fdatasync', 'stable', 'flushed', 'fdatasync', 'stable']);
    await disk.close();
  });

  it('believes no flush any more after one has failed', async () => {
    let failures = 1;
    const fdatasync: FileCalls['fdatasync'] = (_fd, done) => done(failures-- > 0 ? systemError('EIO') : null);
    const { path, disk } = await openImage({ calls: { ...nodeFileCalls, fdatasync } });
    await expect(flushDisk(disk)).rejects.toThrow(`Disk image ${path} cannot be read or written`);
    await expect(flushDisk(disk)).rejects.toThrow(TransportError);
    expectSame(await readDisk(disk, 0, 512), bytes.subarray(0, 512), 'a read');
    await disk.close();
  });
});

describe('the requests of a file', () => {
  it('has up to 16 requests with the system at once, and does all of them', async () => {
    let running = 0;
    let most = 0;
    const read: FileCalls['read'] = (fd, data, offset, length, position, done) => {
      most = Math.max(most, ++running);
      nodeFileCalls.read(fd, data, offset, length, position, (error, count) => {
        running--;
        done(error, count);
      });
    };
    const { disk } = await openImage({ calls: { ...nodeFileCalls, read } });
    const reads = await Promise.all(Array.from({ length: 100 }, (_, i) => readDisk(disk, i * 4096, 4096)));
    expectSame(Buffer.concat(reads), bytes.subarray(0, 100 * 4096), 'the reads');
    expect(most).toBe(16);
    await disk.close();
  });

  it('goes on where the system reads or writes less than it was asked to', async () => {
    const { disk } = await openImage({
      calls: {
        ...nodeFileCalls,
        read: (fd, data, offset, length, ...rest) =>
          nodeFileCalls.read(fd, data, offset, Math.min(length, 700), ...rest),
        write: (fd, data, offset, length, ...rest) =>
          nodeFileCalls.write(fd, data, offset, Math.min(length, 300), ...rest),
      },
    });
    const expected = bytes.slice();
    expected.set(pattern(4096, 2), 1024);
    expected.fill(0, 8192, 8192 + 1536);
    await writeDisk(disk, 1024, pattern(4096, 2));
    await writeZeroesDisk(disk, 8192, 1536);
    expectSame(await readDisk(disk, 0, 16384), expected.subarray(0, 16384), 'the read');
    await disk.close();
  });

  it('does requests that are larger than its staging memory', async () => {
    const { path, disk } = await openImage();
    const large = pattern(1024 * 1024 - 1024, 3);
    await writeDisk(disk, 512, large);
    expectSame(await readDisk(disk, 512, large.length), large, 'the read');
    await writeZeroesDisk(disk, 0, 1024 * 1024);
    await disk.close();
    expectSame(readFileSync(path), new Uint8Array(1024 * 1024), 'the file');
  });

  it('gives discarded room back to the file system, and writes zeroes where that has no holes', async () => {
    const { path, disk } = await openImage();
    await flushDisk(disk);
    const before = statSync(path).blocks;
    await discardDisk(disk, 0, 1024 * 1024);
    await flushDisk(disk);
    expect(statSync(path).blocks).toBeLessThan(before);
    expect(statSync(path).size).toBe(1024 * 1024);
    await disk.close();

    const punchHole = () => Promise.reject(systemError('EOPNOTSUPP'));
    const other = await openImage({ calls: { ...nodeFileCalls, punchHole } });
    await discardDisk(other.disk, 4096, 600 * 1024);
    await writeZeroesDisk(other.disk, 700 * 1024, 512, { mayUnmap: true });
    const expected = bytes
      .slice()
      .fill(0, 4096, 4096 + 600 * 1024)
      .fill(0, 700 * 1024, 700 * 1024 + 512);
    expectSame(await contentsOf(other.disk), expected, 'the disk');
    await other.disk.close();
  });
});

describe('a file whose file system fails', () => {
  it.each([
    ['ENOSPC', 'free some space'],
    ['EDQUOT', 'the quota is used up'],
    ['EIO', 'the medium reports an error'],
    ['EWHATEVER', 'EWHATEVER: it failed'],
  ])('with %s fails the request, with the path, and goes on', async (code, message) => {
    let failures = 2;
    const write: FileCalls['write'] = (fd, data, offset, length, position, done) => {
      if (failures-- > 0) done(systemError(code), 0);
      else nodeFileCalls.write(fd, data, offset, length, position, done);
    };
    const { path, disk } = await openImage({ calls: { ...nodeFileCalls, write } });
    await expect(writeDisk(disk, 0, pattern(512, 2))).rejects.toThrow(message);
    await expect(writeZeroesDisk(disk, 0, 512)).rejects.toThrow(path);
    await writeDisk(disk, 0, pattern(512, 3));
    expectSame(await readDisk(disk, 0, 512), pattern(512, 3), 'the write that was tried again');
    await disk.close();
  });

  it('fails a write of which nothing is taken', async () => {
    const write: FileCalls['write'] = (_fd, _data, _offset, _length, _position, done) => done(null, 0);
    const { disk } = await openImage({ calls: { ...nodeFileCalls, write } });
    await expect(writeDisk(disk, 0, pattern(512, 2))).rejects.toThrow('wrote nothing');
    await disk.close();
  });

  it('fails reads, resizes and refreshes', async () => {
    const { disk } = await openImage({
      calls: {
        ...nodeFileCalls,
        read: (_fd, _data, _offset, _length, _position, done) => done(systemError('EIO'), 0),
        ftruncate: () => Promise.reject(systemError('EDQUOT')),
      },
    });
    await expect(readDisk(disk, 0, 512)).rejects.toThrow(TransportError);
    await expect(disk.resize(4096)).rejects.toThrow('quota');
    expect(disk.capacitySectors).toBe(2048);
    await disk.close();
    await expect(disk.refresh()).rejects.toThrow(StateError);
  });
});

describe('a file that changes its size', () => {
  it('under the disk fails what is beyond its end, and is not made larger by that', async () => {
    const { path, disk } = await openImage();
    truncateSync(path, 100 * 512 + 100);
    const message = `Disk image ${path} has become smaller while it is in use`;
    await expect(readDisk(disk, 200 * 512, 512)).rejects.toThrow(message);
    await expect(readDisk(disk, 99 * 512, 1024)).rejects.toThrow(message);
    await expect(writeDisk(disk, 200 * 512, pattern(512, 2))).rejects.toThrow(message);
    await expect(writeDisk(disk, 100 * 512, pattern(512, 2))).rejects.toThrow(TransportError);
    await expect(writeZeroesDisk(disk, 200 * 512, 512)).rejects.toThrow(message);
    await expect(discardDisk(disk, 200 * 512, 512)).rejects.toThrow(message);
    expect(statSync(path).size).toBe(100 * 512 + 100);
    expectSame(await readDisk(disk, 0, 100 * 512), bytes.subarray(0, 100 * 512), 'what is left');
    await writeDisk(disk, 0, pattern(512, 2));
    await expect(disk.refresh()).rejects.toThrow('not a multiple of 512');
    expect(disk.capacitySectors).toBe(2048);
    await disk.close();
  });

  it('is noticed by a refresh, which says so once', async () => {
    const { path, disk } = await openImage();
    const sizes: number[] = [];
    disk.onResize = () => sizes.push(disk.capacitySectors);
    expect(await disk.refresh()).toBe(2048);
    truncateSync(path, 4096 * 512);
    expect(await disk.refresh()).toBe(4096);
    expectSame(await readDisk(disk, 4000 * 512, 512), new Uint8Array(512), 'the new end');
    truncateSync(path, 64 * 512);
    expect(await disk.refresh()).toBe(64);
    expect(sizes).toEqual([4096, 64]);
    await disk.close();
  });
});

describe('resizing a file', () => {
  it('comes after the requests before it and before those after it', async () => {
    const order: string[] = [];
    const { path, disk } = await openImage({
      calls: {
        ...nodeFileCalls,
        write: (fd, data, offset, length, position, done) => {
          order.push(`write ${position}`);
          const later = (): void => nodeFileCalls.write(fd, data, offset, length, position, done);
          setImmediate(later);
        },
        ftruncate: (fd, length) => {
          order.push(`resize ${length}`);
          return nodeFileCalls.ftruncate(fd, length);
        },
      },
    });
    const requests = [
      writeDisk(disk, 0, pattern(512 * 1024, 2)),
      disk.resize(1024),
      expect(writeDisk(disk, 1500 * 512, pattern(512, 3))).rejects.toThrow("beyond the disk's end"),
      writeDisk(disk, 1000 * 512, pattern(512, 4)),
      disk.resize(1030),
    ];
    await Promise.all(requests);
    await disk.close();
    expect(order).toEqual([
      'write 0',
      `write ${256 * 1024}`,
      `resize ${1024 * 512}`,
      `resize ${1030 * 512}`,
      'write 512000',
    ]);
    const expected = new Uint8Array(1030 * 512);
    expected.set(pattern(512 * 1024, 2));
    expected.set(pattern(512, 4), 1000 * 512);
    expectSame(readFileSync(path), expected, 'the file');
  });

  it('is not for a read-only disk, which changes nothing', async () => {
    const { path, disk } = await openImage({ readOnly: true });
    await expect(disk.resize(8)).rejects.toThrow(StateError);
    await expect(writeDisk(disk, 0, pattern(512, 2))).rejects.toThrow('read-only');
    const overlay = new OverlayDisk(disk);
    await writeDisk(overlay, 512, pattern(512, 2));
    expectSame(await readDisk(overlay, 512, 512), pattern(512, 2), 'the overlay');
    await disk.close();
    expectSame(readFileSync(path), bytes, 'the file');
  });
});
