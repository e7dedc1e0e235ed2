/** Our NBD disk with servers of others: nbdkit, with its filters for delays and errors, and qemu-nbd. */
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Device } from '../../src/device/device.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { flushDisk, readDisk, writeDisk, writeZeroesDisk } from '../../src/storage/index.ts';
import { type NbdDisk, type NbdDiskOptions, openNbdDisk } from '../../src/storage/nbd.ts';
import { contentsOf, expectSame, pattern, runSteps, seed, steps } from '../unit/storage/disk-model.ts';
import { temporaryFolder } from '../unit/storage/temporary-folder.ts';
import { hasQemuNbd, NbdProgram } from './nbd-program.ts';

const MIB = 1 << 20;
const folder = temporaryFolder();
let names = 0;

function newPath(kind: string): string {
  return folder.path(`${kind}-${names++}`);
}

function newImage(bytes: number): string {
  const path = newPath('image');
  closeSync(openSync(path, 'w'));
  truncateSync(path, bytes);
  return path;
}

async function open(socket: string, exportName = '', options: NbdDiskOptions = {}): Promise<NbdDisk> {
  const disk = await openNbdDisk(`nbd+unix:///${exportName}?socket=${socket}`, options);
  onTestFinished(() => disk.close());
  return disk;
}

async function withNbdkit(...args: readonly string[]): Promise<NbdDisk> {
  const socket = newPath('socket');
  await NbdProgram.nbdkit(socket, ...args);
  return await open(socket);
}

describe('nbdkit', () => {
  it.each([
    ['in memory, on several connections', ['memory', '128K'], 4],
    ['that answers late, in any order', ['--filter=delay', 'memory', '128K', 'rdelay=2ms', 'wdelay=1ms'], 4],
    ['with one connection', ['--filter=multi-conn', 'memory', '128K', 'multi-conn-mode=disable'], 1],
  ])(`%s, does what an array does (seed ${seed})`, async (_, args, connections) => {
    const disk = await withNbdkit(...args);
    expect(disk.connections).toBe(connections);
    await fc.assert(
      fc.asyncProperty(steps, (plan) => runSteps({ disk, dispose: () => {} }, plan)),
      { seed, numRuns: 15 },
    );
  });

  it('with blocks of its own is asked for nothing else', async () => {
    const sizes = ['blocksize-minimum=4K', 'blocksize-preferred=64K', 'blocksize-maximum=128K'];
    const strict = 'blocksize-error-policy=error';
    const disk = await withNbdkit('--filter=blocksize-policy', 'memory', '8M', ...sizes, strict);
    expect(disk.topology).toMatchObject({ blockSize: 4096, optimalBlocks: 16 });
    await writeDisk(disk, 4096, pattern(3 * MIB, 1));
    expectSame(await readDisk(disk, 4096, 3 * MIB), pattern(3 * MIB, 1), 'what was written');
    await expect(readDisk(disk, 512, 4096)).rejects.toThrow('blocks of 4096');
  });

  it('that is full, or broken, fails what it cannot do', async () => {
    const disk = await withNbdkit('--filter=error', 'memory', '1M', 'error-pwrite=ENOSPC', 'error-pwrite-rate=100%');
    await expect(writeDisk(disk, 0, pattern(512, 1))).rejects.toThrow('ENOSPC, it has no room');
    await writeZeroesDisk(disk, 0, 4096, { mayUnmap: true });
    expectSame(await readDisk(disk, 0, 512), new Uint8Array(512), 'a read');
    const broken = await withNbdkit('--filter=error', 'memory', '1M', 'error-pread=EIO', 'error-pread-rate=100%');
    await expect(readDisk(broken, 0, 512)).rejects.toThrow('EIO, its medium reports an error');
  });

  it('that is slow is drained by a suspend', async () => {
    const disk = await withNbdkit('--filter=delay', 'memory', '8M', 'wdelay=300ms');
    const memory = GuestMemory.over(new Uint8Array(1 << 20));
    const device = new Device(new BlockDevice(disk), memory);
    const driver = new BlockDriver(new DirectTransport(device), new GuestAllocator(memory, 0x1000, 0xff000));
    await driver.initialize();
    const start = performance.now();
    const writes = Array.from({ length: 32 }, (_, n) => driver.write(n * 8, pattern(4096, n)));
    await expect.poll(() => device.inFlight).toBe(32);
    await driver.driver.suspend();
    const took = performance.now() - start;
    expect(device.inFlight).toBe(0);
    expect(took).toBeGreaterThan(290);
    await driver.driver.resume();
    await Promise.all(writes);
    expectSame(await readDisk(disk, 31 * 4096, 4096), pattern(4096, 31), 'the last write');
  });
});

/** Writes with some in flight at a time, flushes now and then, while the server is killed; compares all at the end. */
async function surviveKills(server: NbdProgram, disk: NbdDisk, kills: number): Promise<void> {
  const model = new Uint8Array(2 * MIB);
  const blocks = model.length / 4096;
  let isOver = false;
  let writes = 0;
  const writer = async (first: number): Promise<void> => {
    for (let n = first; !isOver; n += 8) {
      const at = (n % blocks) * 4096;
      const bytes = pattern(4096, n);
      await writeDisk(disk, at, bytes);
      model.set(bytes, at);
      if (++writes % 50 === 0) await flushDisk(disk);
    }
  };
  const writers = Array.from({ length: 8 }, (_, n) => writer(n));
  for (let kill = 0; kill < kills; kill++) {
    const before = writes;
    await expect.poll(() => writes, { interval: 2, timeout: 20_000 }).toBeGreaterThan(before + 20 + 7 * kill);
    await server.kill();
    await server.start();
  }
  isOver = true;
  await Promise.all(writers);
  await flushDisk(disk);
  expectSame((await contentsOf(disk)).subarray(0, model.length), model, 'the disk');
}

describe('a server that is killed in the middle of its work, and started again,', () => {
  it('has lost nothing: nbdkit', async () => {
    const [socket, image] = [newPath('socket'), newImage(2 * MIB)];
    const server = await NbdProgram.nbdkit(socket, 'file', image);
    const disk = await open(socket);
    await surviveKills(server, disk, 10);
    expectSame(readFileSync(image), await contentsOf(disk), 'the image');
  });

  it.skipIf(!hasQemuNbd)('has lost nothing: qemu-nbd', async () => {
    const [socket, image] = [newPath('socket'), newImage(2 * MIB)];
    const server = await NbdProgram.qemuNbd(socket, image);
    const disk = await open(socket, 'disk');
    expect(disk).toMatchObject({ connections: 4, supports: { flush: true, discard: true, writeZeroes: true } });
    await surviveKills(server, disk, 5);
    await expect(open(socket, 'other')).rejects.toThrow('no such export');
  });
});
