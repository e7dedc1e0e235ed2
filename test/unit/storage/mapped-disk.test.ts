import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { StateError, TransportError } from '../../../src/spec/fault.ts';
import { openFileDisk } from '../../../src/storage/file.ts';
import { discardDisk, flushDisk, readDisk, writeDisk, writeZeroesDisk } from '../../../src/storage/index.ts';
import { openMappedDisk } from '../../../src/storage/mapped.ts';
import { type FileCalls, nodeFileCalls } from '../../../src/storage/node/file-calls.ts';
import { openFds } from '../unix/open-fds.ts';
import { expectSame, pattern } from './disk-model.ts';
import { mappablePlaces } from './mappable-places.ts';
import { mounted } from './mounted.ts';
import { temporaryFolder } from './temporary-folder.ts';

const MIB = 1 << 20;
const GIB = 1 << 30;
const anywhere = temporaryFolder();

function emptyImage(path: string, bytes: number): string {
  closeSync(openSync(path, 'w'));
  truncateSync(path, bytes);
  return path;
}

describe.each(mappablePlaces)('a mapped file on $name', ({ place }) => {
  const folder = temporaryFolder(place);
  const image = (bytes = MIB): string => emptyImage(folder.path('disk.img'), bytes);

  it('has in the file what was written, at once', async () => {
    const path = image();
    const disk = await openMappedDisk(path);
    expect([disk.identity, disk.capacitySectors, disk.readOnly]).toEqual(['disk.img', 2048, false]);
    await writeDisk(disk, 512, pattern(8192, 1));
    expectSame(readFileSync(path).subarray(512, 512 + 8192), pattern(8192, 1), 'the file');
    expect(statSync(path).size).toBe(MIB);
    await disk.close();
  });

  it('is locked against writers and readers until it is closed', async () => {
    const path = image();
    const disk = await openMappedDisk(path);
    await expect(openFileDisk(path)).rejects.toThrow('in use');
    await expect(openMappedDisk(path, { readOnly: true })).rejects.toThrow('in use');
    await disk.close();
    await disk.close();
    const reader = await openMappedDisk(path, { readOnly: true });
    expect(reader.supports).toEqual({ flush: true, discard: false, writeZeroes: false });
    await expect(writeDisk(reader, 0, pattern(512, 1))).rejects.toThrow('read-only');
    await expect(reader.resize(4096)).rejects.toThrow(StateError);
    await reader.close();
  });

  it('fails what is beyond the end of a file that was cut off, and nothing else', async () => {
    const path = image();
    const disk = await openMappedDisk(path);
    await writeDisk(disk, 0, pattern(4096, 1));
    truncateSync(path, 4096);
    await expect(readDisk(disk, 4096, 512)).rejects.toThrow('has become smaller');
    await expect(writeDisk(disk, 3584, pattern(1024, 2))).rejects.toThrow(TransportError);
    await expect(writeZeroesDisk(disk, 8192, 512, { mayUnmap: true })).rejects.toThrow('has become smaller');
    expectSame(await readDisk(disk, 0, 4096), pattern(4096, 1), 'what is left');
    await disk.close();
    expect(statSync(path).size).toBe(4096);
  });

  it('is resized, also across what was a part of a page', async () => {
    const path = image(10 * 512);
    const disk = await openMappedDisk(path);
    let calls = 0;
    disk.onResize = () => calls++;
    await writeDisk(disk, 0, pattern(10 * 512, 1));
    await disk.resize(8192);
    await writeDisk(disk, 3 * MIB, pattern(512, 2));
    await disk.resize(5);
    await disk.resize(8192);
    expect(calls).toBe(3);
    expectSame(await readDisk(disk, 0, 2560), pattern(2560, 1), 'what was left');
    expectSame(await readDisk(disk, 2560, MIB), new Uint8Array(MIB), 'what is new');
    expectSame(await readDisk(disk, 3 * MIB, 512), new Uint8Array(512), 'what was cut off');
    await disk.close();
  });

  it('believes no flush any more after one has failed', async () => {
    let failures = 1;
    const fdatasync: FileCalls['fdatasync'] = (fd, done) =>
      failures-- > 0 ? done(Object.assign(new Error('EIO'), { code: 'EIO' })) : nodeFileCalls.fdatasync(fd, done);
    const disk = await openMappedDisk(image(), { calls: { ...nodeFileCalls, fdatasync } });
    await expect(flushDisk(disk)).rejects.toThrow('the medium reports an error');
    await expect(flushDisk(disk)).rejects.toThrow(TransportError);
    await disk.close();
  });

  it('leaves nothing behind, neither descriptors nor memory', async () => {
    const path = image();
    const before = openFds();
    for (let n = 0; n < 20; n++) {
      const disk = await openMappedDisk(path);
      await writeDisk(disk, 0, pattern(512, n));
      await disk.close();
    }
    await expect(openMappedDisk(path, { calls: { ...nodeFileCalls, tryLock: () => false } })).rejects.toThrow('in use');
    await expect.poll(openFds).toBe(before);
    expect(readFileSync('/proc/self/maps', 'utf8')).not.toContain(path);
  });

  it('is closed after the flushes in flight', async () => {
    const disk = await openMappedDisk(image());
    await writeDisk(disk, 0, pattern(4096, 1));
    const order: string[] = [];
    const flushes = [flushDisk(disk), flushDisk(disk)].map((flush) => flush.then(() => order.push('flushed')));
    const closed = disk.close().then(() => order.push('closed'));
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('after close');
    await Promise.all([...flushes, closed]);
    expect(order).toEqual(['flushed', 'flushed', 'closed']);
  });

  it('has in the file what was flushed when its process was killed', { timeout: 30_000 }, async () => {
    const path = image();
    const script = fileURLToPath(new URL('write-mapped.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.split('\n').length > 20) child.kill('SIGKILL');
    });
    expect(await once(child, 'close')).toEqual([null, 'SIGKILL']);
    const flushed = Number(said.split('\n').at(-2));
    expect(flushed).toBeGreaterThanOrEqual(20);
    const disk = await openFileDisk(path);
    // One more may have been written since, in the place of the oldest.
    for (let generation = flushed - 14; generation <= flushed; generation++) {
      const bytes = await readDisk(disk, (generation % 16) * 65536, 65536);
      expectSame(bytes, new Uint8Array(65536).fill(generation % 251), `generation ${generation}`);
    }
    await disk.close();
  });
});

const ext4 = mappablePlaces.filter(({ name }) => name === 'ext4');

describe.each(ext4)('a sparse mapped file on $name', ({ place }) => {
  const folder = temporaryFolder(place);

  it('of more than 4 GiB is read and written across windows, and takes room only where it was written', async () => {
    const path = emptyImage(folder.path('large.img'), 9 * GIB);
    const disk = await openMappedDisk(path);
    for (const at of [4 * GIB - 4096, 8 * GIB - 512, 9 * GIB - 65536])
      await writeDisk(disk, at, pattern(65536, at / 512));
    expectSame(await readDisk(disk, 4 * GIB - 8192, 4096), new Uint8Array(4096), 'before');
    expectSame(await readDisk(disk, 4 * GIB - 4096, 65536), pattern(65536, (4 * GIB - 4096) / 512), 'across');
    await writeZeroesDisk(disk, 8 * GIB - 512, 1024);
    expectSame(await readDisk(disk, 8 * GIB, 512), new Uint8Array(512), 'zeroes across');
    expect(statSync(path).blocks * 512).toBeLessThan(8 * MIB);
    await disk.resize((GIB / 512) * 3);
    await disk.resize((GIB / 512) * 6);
    expectSame(await readDisk(disk, 4 * GIB - 4096, 65536), new Uint8Array(65536), 'what was cut off');
    await disk.close();
  });

  it('gives discarded room back, and takes it again', async () => {
    const path = emptyImage(folder.path('holes.img'), 4 * MIB);
    const disk = await openMappedDisk(path);
    await writeDisk(disk, 0, pattern(4 * MIB, 1));
    await flushDisk(disk);
    const full = statSync(path).blocks;
    await discardDisk(disk, MIB, 2 * MIB);
    expect(statSync(path).blocks).toBeLessThanOrEqual(full - (2 * MIB) / 512);
    await writeDisk(disk, MIB + 512, pattern(512, 2));
    await flushDisk(disk);
    expect(statSync(path).blocks).toBeGreaterThan(full - (2 * MIB) / 512);
    await disk.close();
  });
});

describe('on a file system that is full', () => {
  it('of ext4 a write that needs room fails, and all else goes on', async ({ skip }) => {
    const point = mounted('ext4', anywhere) ?? skip();
    const disk = await openMappedDisk(emptyImage(`${point}/disk.img`, 4 * MIB));
    await writeDisk(disk, 0, pattern(MIB, 1));
    spawnSync('dd', ['if=/dev/zero', `of=${point}/filler`, 'bs=4096']);
    await expect(writeDisk(disk, 2 * MIB, pattern(512, 2))).rejects.toThrow('file system is full');
    await expect(writeZeroesDisk(disk, 2 * MIB, 512)).rejects.toThrow('file system is full');
    await writeDisk(disk, 4096, pattern(4096, 3));
    await flushDisk(disk);
    expectSame(await readDisk(disk, 4096, 4096), pattern(4096, 3), 'where there was room');
    expectSame(await readDisk(disk, 2 * MIB, 4096), new Uint8Array(4096), 'where there was none');
    await disk.close();
  });

  it('of tmpfs the disk has its room already, and cannot be made larger', async ({ skip }) => {
    const point = mounted('tmpfs', anywhere) ?? skip();
    const disk = await openMappedDisk(emptyImage(`${point}/disk.img`, 4 * MIB));
    spawnSync('dd', ['if=/dev/zero', `of=${point}/filler`, 'bs=4096']);
    await writeDisk(disk, 2 * MIB, pattern(MIB, 2));
    await expect(disk.resize(16 * 2048)).rejects.toThrow('file system is full');
    expect([disk.capacitySectors, statSync(`${point}/disk.img`).size]).toEqual([4 * 2048, 4 * MIB]);
    await discardDisk(disk, 2 * MIB, MIB);
    expectSame(await readDisk(disk, 2 * MIB, MIB), new Uint8Array(MIB), 'what was discarded');
    await disk.close();
    await expect(openMappedDisk(emptyImage(`${point}/other.img`, MIB))).rejects.toThrow('file system is full');
  });
});

describe.each(mappablePlaces.filter(({ name }) => name === 'tmpfs'))('a sparse file on $name', ({ place }) => {
  const folder = temporaryFolder(place);

  it('is not mapped to be read, as its holes would take room', async () => {
    const path = emptyImage(folder.path('holes.img'), MIB);
    await expect(openMappedDisk(path, { readOnly: true })).rejects.toThrow('has holes');
  });
});

describe('on a file system that is not known to keep room', () => {
  it('an image is mapped to be read, not to be written', async ({ skip }) => {
    const path = emptyImage(`${mounted('ramfs', anywhere) ?? skip()}/disk.img`, MIB);
    await expect(openMappedDisk(path)).rejects.toThrow('cannot be mapped to be written');
    const disk = await openMappedDisk(path, { readOnly: true });
    expectSame(await readDisk(disk, 0, 4096), new Uint8Array(4096), 'what is read');
    await disk.close();
  });
});
