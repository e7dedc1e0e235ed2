import { readdirSync, readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import { type FileDisk, type FileDiskOptions, openFileDisk } from '../../../src/storage/file.ts';
import { discardDisk, flushDisk, readDisk, writeDisk, writeZeroesDisk } from '../../../src/storage/index.ts';
import { type FileCalls, nodeFileCalls } from '../../../src/storage/node/file-calls.ts';
import { openFds } from '../unix/open-fds.ts';
import { directPlace } from './direct-places.ts';
import { expectSame, pattern, runSteps, seed, steps } from './disk-model.ts';
import { mounted } from './mounted.ts';
import { temporaryFolder } from './temporary-folder.ts';

const MIB = 1 << 20;
const BLOCK = 4096;
const LARGE = 600 * 1024;
const folder = temporaryFolder(directPlace);
const anywhere = temporaryFolder();

const withDirect = describe.skipIf(directPlace === undefined);

async function opened(bytes: Uint8Array, options: FileDiskOptions = {}): Promise<{ path: string; disk: FileDisk }> {
  const path = folder.path('direct.img');
  writeFileSync(path, bytes);
  const disk = await openFileDisk(path, { access: 'direct', ...options });
  onTestFinished(() => disk.close());
  return { path, disk };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}

/** Calls to a medium that has blocks of so many bytes, and refuses parts of them. */
function inBlocks(blockBytes: number): FileCalls {
  const only =
    (call: FileCalls['read']): FileCalls['read'] =>
    (fd, bytes, offset, length, position, done) => {
      if ([offset, length, position].some((each) => each % blockBytes !== 0)) done(systemError('EINVAL'), 0);
      else call(fd, bytes, offset, length, position, done);
    };
  return { ...nodeFileCalls, read: only(nodeFileCalls.read), write: only(nodeFileCalls.write) };
}

/** For each descriptor of this process that is of the file, whether it is past the page cache. */
function accessOf(path: string): boolean[] {
  const O_DIRECT = 0o40000;
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== path) return [];
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
      return [(Number.parseInt(flags!, 8) & O_DIRECT) !== 0];
    } catch {
      // Closed since.
      return [];
    }
  });
}

withDirect('a file past the page cache', () => {
  it('is opened so, and has in the file what was written', async () => {
    const { path, disk } = await opened(pattern(MIB, 1));
    expect(accessOf(path)).toEqual([true]);
    const expected = pattern(MIB, 1);
    expected.set(pattern(1536, 2), 512);
    expectSame(await readDisk(disk, 0, MIB), pattern(MIB, 1), 'what was there');
    await writeDisk(disk, 512, pattern(1536, 2));
    await flushDisk(disk);
    expectSame(readFileSync(path), expected, 'the file');
  });

  it('moves data from and to memory that the system could not use', async () => {
    const { path, disk } = await opened(pattern(MIB, 1));
    const odd = new Uint8Array(LARGE + 3).subarray(3);
    odd.set(pattern(LARGE, 2));
    await writeDisk(disk, 1024, odd);
    expectSame(await readDisk(disk, 1024, LARGE), pattern(LARGE, 2), 'a read');
    expectSame(readFileSync(path).subarray(1024, 1024 + LARGE), pattern(LARGE, 2), 'the file');
  });

  it('has its last sector, wherever that is', async () => {
    const bytes = pattern(MIB + 512, 1);
    const { path, disk } = await opened(bytes);
    expectSame(await readDisk(disk, MIB - 512, 1024), bytes.subarray(MIB - 512), 'the end');
    await writeDisk(disk, MIB, pattern(512, 2));
    await writeZeroesDisk(disk, MIB - 512, 512);
    await expect(writeDisk(disk, MIB, pattern(1024, 3))).rejects.toThrow("beyond the disk's end");
    await disk.resize(2 * 2048 + 3);
    await writeDisk(disk, 2 * MIB + 1024, pattern(512, 4));
    expect(statSync(path).size).toBe(2 * MIB + 1536);
    bytes.fill(0, MIB - 512).set(pattern(512, 2), MIB);
    expectSame(await readDisk(disk, 0, MIB + 512), bytes, 'what was there');
    expectSame(await readDisk(disk, 2 * MIB + 1024, 512), pattern(512, 4), 'the new end');
    expectSame(await readDisk(disk, 2 * MIB, 1024), new Uint8Array(1024), 'what is before it');
  });

  it('fails what is beyond the end of a file that was cut off, and nothing else', async () => {
    const { path, disk } = await opened(pattern(MIB, 1));
    truncateSync(path, 100 * 512 + 100);
    await expect(readDisk(disk, 99 * 512, 1024)).rejects.toThrow('has become smaller');
    await expect(readDisk(disk, 100 * 512, 512)).rejects.toThrow(TransportError);
    await expect(writeDisk(disk, 100 * 512, pattern(512, 2))).rejects.toThrow('has become smaller');
    expectSame(await readDisk(disk, 0, 100 * 512), pattern(MIB, 1).subarray(0, 100 * 512), 'what is left');
  });

  it('fails a request with the error of the medium, and goes on', async () => {
    let failures = 2;
    const failing =
      (call: FileCalls['read']): FileCalls['read'] =>
      (fd, bytes, offset, length, position, done) => {
        if (position > 0 && failures-- > 0) done(systemError('EIO'), 0);
        else call(fd, bytes, offset, length, position, done);
      };
    const calls = { ...nodeFileCalls, read: failing(nodeFileCalls.read), write: failing(nodeFileCalls.write) };
    const { disk } = await opened(pattern(MIB, 1), { calls });
    await expect(readDisk(disk, 4096, 512)).rejects.toThrow('the medium reports an error');
    await expect(writeDisk(disk, 4096, pattern(512, 2))).rejects.toThrow(TransportError);
    expectSame(await readDisk(disk, 4096, 512), pattern(MIB, 1).subarray(4096, 4608), 'what was there');
  });

  it('leaves nothing behind, neither descriptors nor memory', async () => {
    const path = folder.path('direct.img');
    const use = async (): Promise<void> => {
      writeFileSync(path, pattern(MIB, 1));
      const disk = await openFileDisk(path, { access: 'direct' });
      await Promise.all(Array.from({ length: 40 }, (_, n) => writeDisk(disk, n * 8192, pattern(8192, n))));
      await disk.close();
      await disk.close();
    };
    await use();
    const [fds, bytes] = [openFds(), virtualBytes()];
    for (let n = 0; n < 10; n++) await use();
    expect(openFds()).toBe(fds);
    // Sixteen pieces of 256 KiB for each disk would be 40 MiB.
    expect(virtualBytes() - bytes).toBeLessThan(20 * MIB);
  });
});

/** Addresses of this process that are in use, whether or not there is memory behind them. */
function virtualBytes(): number {
  return Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[0]) * 4096;
}

withDirect('a medium with larger blocks than sectors', () => {
  it('does not lose what is next to a part of a block, however many are in flight', () =>
    fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const path = folder.path('blocks.img');
        writeFileSync(path, pattern(208 * 512, 99));
        const disk = await openFileDisk(path, { access: 'direct', calls: inBlocks(BLOCK) });
        try {
          await runSteps({ disk, dispose: () => {} }, plan);
        } finally {
          await disk.close();
        }
      }),
      { seed, numRuns: 40 },
    ));

  it('shows its blocks to the driver, unless told otherwise', async () => {
    const { disk } = await opened(pattern(MIB, 1), { calls: inBlocks(BLOCK) });
    expect(disk.topology.blockSize).toBe(BLOCK);
    await disk.close();
    const { disk: told } = await opened(pattern(MIB, 1), { calls: inBlocks(BLOCK), topology: { blockSize: 512 } });
    expect(told.topology.blockSize).toBe(512);
  });

  it('moves requests that are larger than its staging memory, from the middle of a block to that of another', async () => {
    const { path, disk } = await opened(pattern(MIB, 1), { calls: inBlocks(BLOCK) });
    const expected = pattern(MIB, 1);
    expected.set(pattern(LARGE, 2), 1536);
    expected.fill(0, LARGE + 8192 + 512, MIB - 512);
    await Promise.all([
      writeDisk(disk, 1536, pattern(LARGE, 2)),
      writeZeroesDisk(disk, LARGE + 8192 + 512, MIB - LARGE - 8192 - 1024),
    ]);
    expectSame(await readDisk(disk, 512, MIB - 1024), expected.subarray(512, MIB - 512), 'the read');
    expectSame(readFileSync(path), expected, 'the file');
  });

  it('writes zeroes into parts of blocks where the file system has no holes', async () => {
    const punchHole = () => Promise.reject(systemError('EOPNOTSUPP'));
    const { path, disk } = await opened(pattern(MIB, 1), { calls: { ...inBlocks(BLOCK), punchHole } });
    await discardDisk(disk, 512, LARGE);
    await writeZeroesDisk(disk, MIB - 512, 512, { mayUnmap: true });
    const expected = pattern(MIB, 1).fill(0, 512, 512 + LARGE);
    expectSame(readFileSync(path), expected.fill(0, MIB - 512), 'the file');
  });

  it('ends with a whole block, when it is opened and when it is resized', async () => {
    const calls = inBlocks(BLOCK);
    await expect(opened(pattern(MIB + 512, 1), { calls })).rejects.toThrow('blocks of 4096 bytes');
    const { path, disk } = await opened(pattern(MIB, 1), { calls });
    await expect(disk.resize(2048 + 1)).rejects.toThrow(TransportError);
    expect([disk.capacitySectors, statSync(path).size]).toEqual([2048, MIB]);
    await disk.resize(2048 + 8);
    truncateSync(path, MIB + 512);
    await expect(disk.refresh()).rejects.toThrow('part of a block');
    await expect(writeDisk(disk, MIB + 1024, pattern(512, 2))).rejects.toThrow('has become smaller');
  });

  it('fails a part of a block whose other parts cannot be read', async () => {
    let isBroken = false;
    const calls = inBlocks(BLOCK);
    const { read } = calls;
    const { path, disk } = await opened(pattern(MIB, 1), {
      calls: {
        ...calls,
        read: (fd, bytes, offset, length, position, done) => {
          if (isBroken) done(systemError('EIO'), 0);
          else read(fd, bytes, offset, length, position, done);
        },
      },
    });
    isBroken = true;
    await expect(writeDisk(disk, 512, pattern(512, 2))).rejects.toThrow('the medium reports an error');
    await writeDisk(disk, BLOCK, pattern(BLOCK, 2));
    expectSame(readFileSync(path).subarray(0, BLOCK), pattern(MIB, 1).subarray(0, BLOCK), 'the block');
  });

  it('that is a real one is found by trial', async ({ skip }) => {
    const point = mounted('large blocks', anywhere) ?? skip();
    const path = `${point}/disk.img`;
    writeFileSync(path, pattern(MIB, 1));
    const disk = await openFileDisk(path, { access: 'direct' });
    expect(disk.topology.blockSize).toBe(BLOCK);
    const expected = pattern(MIB, 1);
    expected.set(pattern(512, 2), 512);
    expected.set(pattern(512, 3), 1024);
    await Promise.all([writeDisk(disk, 512, pattern(512, 2)), writeDisk(disk, 1024, pattern(512, 3))]);
    expectSame(await readDisk(disk, 512, MIB - 512), expected.subarray(512), 'the disk');
    expectSame(readFileSync(path), expected, 'the file');
    await disk.close();
  });
});

describe('a file system without direct access', () => {
  it.for(['tmpfs', 'ramfs'] as const)('such as %s says so, and keeps no lock', async (kind, { skip }) => {
    const point = mounted(kind, anywhere) ?? skip();
    const path = `${point}/disk.img`;
    writeFileSync(path, pattern(4096, 1));
    const message = kind === 'tmpfs' ? 'is on tmpfs, which is in the page cache itself' : 'has no direct access';
    const before = openFds();
    await expect(openFileDisk(path, { access: 'direct' })).rejects.toThrow(`Disk image ${path} `);
    const opening = openFileDisk(path, { access: 'direct' });
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toBeInstanceOf(TransportError);
    expect(openFds()).toBe(before);
    await (await openFileDisk(path)).close();
  });
});
