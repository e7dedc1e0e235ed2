import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FileDiskOptions, openFileDisk } from '../../../src/storage/file.ts';
import {
  discardDisk,
  FaultyDisk,
  flushDisk,
  MemoryDisk,
  OverlayDisk,
  readDisk,
  SimpleDisk,
  seededLatency,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';
import { openMappedDisk } from '../../../src/storage/mapped.ts';
import { openNbdDisk } from '../../../src/storage/nbd.ts';
import { directPlace } from './direct-places.ts';
import { contentsOf, type DiskUnderTest, expectSame, pattern, runSteps, seed, steps } from './disk-model.ts';
import { mappablePlaces } from './mappable-places.ts';
import { TestNbdServer } from './nbd/nbd-server.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { testClock } from './test-clock.ts';

const folder = temporaryFolder();

/** No whole number of blocks, so that every disk has a part of one at its end. */
const capacitySectors = 203;
const contents = pattern(capacitySectors * 512, 99);

async function memory(): Promise<DiskUnderTest> {
  const disk = new MemoryDisk({ bytes: contents });
  return { disk, resize: (sectors) => disk.resize(sectors), dispose: () => disk.close() };
}

async function file(options: FileDiskOptions = {}, { path: within } = folder): Promise<DiskUnderTest> {
  const path = within('disk.img');
  writeFileSync(path, contents);
  const disk = await openFileDisk(path, options);
  return { disk, resize: (sectors) => disk.resize(sectors), dispose: () => disk.close() };
}

/** None where no file system of this machine allows it. */
function direct(): Readonly<Record<string, () => Promise<DiskUnderTest>>> {
  if (directPlace === undefined) return {};
  const there = temporaryFolder(directPlace);
  return { 'a file past the page cache': () => file({ access: 'direct' }, there) };
}

function mapped(place: string): () => Promise<DiskUnderTest> {
  const { path } = temporaryFolder(place);
  return async () => {
    writeFileSync(path('disk.img'), contents);
    const disk = await openMappedDisk(path('disk.img'));
    return { disk, resize: (sectors) => disk.resize(sectors), dispose: () => disk.close() };
  };
}

async function nbd(structured: boolean): Promise<DiskUnderTest> {
  const server = await TestNbdServer.start(folder.path('nbd'), contents, { structured });
  const disk = await openNbdDisk(server.uri);
  return { disk, dispose: () => disk.close().then(() => server.stop()) };
}

async function overlay(base: DiskUnderTest, sectors?: number): Promise<DiskUnderTest> {
  const disk = new OverlayDisk(base.disk, sectors === undefined ? {} : { capacitySectors: sectors });
  return { disk, resize: (wanted) => disk.resize(wanted), dispose: () => disk.close().then(base.dispose) };
}

async function late(behind: DiskUnderTest): Promise<DiskUnderTest> {
  const disk = new FaultyDisk(behind.disk, { latency: seededLatency(seed, 0, 9), schedule: testClock() });
  return { ...behind, disk };
}

async function simple(): Promise<DiskUnderTest> {
  const bytes = contents.slice();
  const zero = async (position: number, length: number): Promise<void> =>
    void bytes.fill(0, position, position + length);
  const disk = new SimpleDisk({
    capacitySectors,
    read: async (position, length) => bytes.subarray(position, position + length),
    write: async (position, data) => bytes.set(data, position),
    flush: async () => undefined,
    discard: zero,
    writeZeroes: zero,
  });
  return { disk, dispose: () => disk.close() };
}

const kinds: Readonly<Record<string, () => Promise<DiskUnderTest>>> = {
  'a disk in memory': memory,
  'a file': () => file(),
  ...direct(),
  ...Object.fromEntries(mappablePlaces.map(({ name, place }) => [`a mapped file on ${name}`, mapped(place)])),
  'an export of an NBD server': () => nbd(false),
  'an export of an NBD server with structured replies': () => nbd(true),
  'an overlay over memory': async () => overlay(await memory()),
  'an overlay over a file': async () => overlay(await file()),
  'an overlay over a base that answers late and in any order': async () => overlay(await late(await memory())),
  'an overlay that is larger than its base': async () => overlay(await late(await memory()), 250),
  'an overlay that is smaller than its base': async () => overlay(await late(await memory()), 150),
  'an overlay over an overlay': async () => overlay(await late(await overlay(await memory()))),
  'a disk of promise functions': simple,
};

async function use(make: () => Promise<DiskUnderTest>, test: (tested: DiskUnderTest) => Promise<void>): Promise<void> {
  const tested = await make();
  try {
    await test(tested);
  } finally {
    await tested.dispose();
  }
}

describe.each(Object.entries(kinds))('%s', (_name, make) => {
  it('reads what was written, around it what was there', () =>
    use(make, async ({ disk }) => {
      const expected = await contentsOf(disk);
      const bytes = pattern(9 * 512, 1);
      expected.set(bytes, 5 * 512);
      await writeDisk(disk, 5 * 512, bytes);
      expectSame(await readDisk(disk, 0, 32 * 512), expected.subarray(0, 32 * 512), 'the beginning');
      expectSame(await contentsOf(disk), expected, 'everything');
    }));

  it('reads zeroes where zeroes were written or sectors discarded', () =>
    use(make, async ({ disk }) => {
      const expected = await contentsOf(disk);
      expected
        .fill(0, 3 * 512, 30 * 512)
        .fill(0, 33 * 512, 36 * 512)
        .fill(0, 40 * 512, 48 * 512);
      await writeZeroesDisk(disk, 3 * 512, 27 * 512);
      await writeZeroesDisk(disk, 33 * 512, 3 * 512, { mayUnmap: true });
      await discardDisk(disk, 40 * 512, 8 * 512);
      await flushDisk(disk);
      expectSame(await contentsOf(disk), expected, 'everything');
    }));

  it(`does what an array does, with requests in flight together (seed ${seed})`, () =>
    fc.assert(
      fc.asyncProperty(steps, (plan) => use(make, (tested) => runSteps(tested, plan))),
      { seed, numRuns: 60 },
    ));
});

describe.each(Object.entries(kinds))('%s at its limits', (_name, make) => {
  it('keeps the last sector and refuses what is beyond it', () =>
    use(make, async ({ disk }) => {
      const end = disk.capacitySectors * 512;
      await writeDisk(disk, end - 512, pattern(512, 3));
      expectSame(await readDisk(disk, end - 512, 512), pattern(512, 3), 'the last sector');
      await expect(readDisk(disk, end - 512, 1024)).rejects.toThrow(RangeError);
      await expect(writeDisk(disk, end, pattern(512, 4))).rejects.toThrow("beyond the disk's end");
      await expect(discardDisk(disk, end, 512)).rejects.toThrow(RangeError);
    }));

  it('refuses parts of sectors', () =>
    use(make, async ({ disk }) => {
      await expect(readDisk(disk, 1, 512)).rejects.toThrow('whole 512-byte sectors');
      await expect(writeDisk(disk, 0, new Uint8Array(100))).rejects.toThrow(RangeError);
      await expect(readDisk(disk, -512, 512)).rejects.toThrow(RangeError);
      await expect(readDisk(disk, Number.NaN, 512)).rejects.toThrow(RangeError);
    }));

  it('does nothing for no bytes', () =>
    use(make, async ({ disk }) => {
      const expected = await contentsOf(disk);
      await writeDisk(disk, 512, new Uint8Array(0));
      await discardDisk(disk, 512, 0);
      expect(await readDisk(disk, 1024, 0)).toHaveLength(0);
      expectSame(await contentsOf(disk), expected, 'everything');
    }));

  it('fails requests after close', async () => {
    const { disk, dispose } = await make();
    await dispose();
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('after close');
  });

  it('says once that it was resized', () =>
    use(make, async ({ disk, resize }) => {
      if (resize === undefined) return;
      let calls = 0;
      disk.onResize = () => calls++;
      await resize(300);
      await resize(300);
      expect(calls).toBe(1);
      expect(disk.capacitySectors).toBe(300);
      await expect((async () => resize(0))()).rejects.toThrow(RangeError);
      expect(disk.capacitySectors).toBe(300);
    }));
});
