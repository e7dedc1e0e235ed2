import { describe, expect, it } from 'vitest';
import {
  discardDisk,
  FaultyDisk,
  MemoryDisk,
  OverlayDisk,
  readDisk,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';
import { contentsOf, expectSame, pattern } from './disk-model.ts';

const baseBytes = pattern(64 * 512, 1);

/** An overlay whose base answers when the test says so. */
function heldBase() {
  const base = new FaultyDisk(new MemoryDisk({ bytes: baseBytes }));
  base.hold();
  return { base, overlay: new OverlayDisk(base) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function patched(...writes: [position: number, bytes: Uint8Array][]): Uint8Array {
  const bytes = baseBytes.slice();
  for (const [position, data] of writes) bytes.set(data, position);
  return bytes;
}

describe('an overlay and its base', () => {
  it('never writes to the base', async () => {
    const base = new FaultyDisk(new MemoryDisk({ bytes: baseBytes }));
    const overlay = new OverlayDisk(base);
    await writeDisk(overlay, 512, pattern(512, 2));
    await writeZeroesDisk(overlay, 4096, 6000 - (6000 % 512));
    await discardDisk(overlay, 20 * 512, 20 * 512);
    await overlay.resize(100);
    await overlay.close();
    expect(new Set(base.log.map(({ operation }) => operation))).toEqual(new Set(['read']));
    expectSame(await contentsOf(base), baseBytes, 'the base');
  });

  it('hands a read of nothing but base to the base as it is', async () => {
    const { base, overlay } = heldBase();
    const read = readDisk(overlay, 1024, 20 * 512);
    expect(base.log).toMatchObject([{ operation: 'read', position: 1024, length: 20 * 512 }]);
    base.release();
    expectSame(await read, baseBytes.subarray(1024, 22 * 512), 'the read');
  });

  it('does not ask the base for what it has', async () => {
    const { base, overlay } = heldBase();
    await writeDisk(overlay, 4096, pattern(8192, 2));
    await writeZeroesDisk(overlay, 3 * 4096, 4096);
    expectSame(await readDisk(overlay, 4096, 8192), pattern(8192, 2), 'written blocks');
    expectSame(await readDisk(overlay, 3 * 4096, 4096), new Uint8Array(4096), 'a zeroed block');
    expect(base.log).toEqual([]);
  });

  it('asks the base once for a read over several runs', async () => {
    const { base, overlay } = heldBase();
    const own = pattern(4096, 2);
    for (const block of [0, 2, 4]) await writeDisk(overlay, block * 4096, own);
    const read = readDisk(overlay, 512, 5 * 4096 - 512);
    expect(base.log).toMatchObject([{ position: 4096, length: 3 * 4096 }]);
    base.release();
    expectSame(await read, patched([0, own], [8192, own], [16384, own]).subarray(512, 5 * 4096), 'the read');
  });

  it('advises drivers to write whole blocks', () => {
    const overlay = new OverlayDisk(new MemoryDisk({ capacitySectors: 8, identity: 'root' }));
    expect(overlay.topology).toMatchObject({ blockSize: 512, physicalBlockExponent: 3 });
    expect(overlay.identity).toBe('root');
    const large = new MemoryDisk({ capacitySectors: 8, topology: { blockSize: 8192 } });
    expect(new OverlayDisk(large).topology).toEqual(large.topology);
    expect(() => new OverlayDisk(large, { capacitySectors: 2 ** 35 + 1 })).toThrow('too large');
  });
});

describe('requests in flight to the same block of an overlay', () => {
  it('fetch the rest of the block once, and all of their data is kept', async () => {
    const { base, overlay } = heldBase();
    const writes = [
      writeDisk(overlay, 512, pattern(512, 2)),
      writeDisk(overlay, 1024, pattern(1024, 3)),
      writeDisk(overlay, 1536, pattern(512, 4)),
      writeZeroesDisk(overlay, 2048, 512),
    ];
    let finished = 0;
    for (const write of writes) write.then(() => finished++);
    await turn();
    expect(finished).toBe(0);
    expect(base.log).toHaveLength(1);
    base.release();
    await Promise.all(writes);
    const expected = patched([512, pattern(512, 2)], [1024, pattern(1024, 3)], [1536, pattern(512, 4)]);
    expected.fill(0, 2048, 2560);
    expectSame(await contentsOf(overlay), expected, 'everything');
    expect(overlay.statistics).toEqual({ dirtyBlocks: 1, zeroBlocks: 0, dirtyBytes: 4096 });
  });

  it('need nothing of the base any more once the whole block is written', async () => {
    const { base, overlay } = heldBase();
    const partial = writeDisk(overlay, 512, pattern(512, 2));
    await writeDisk(overlay, 0, pattern(4096, 3));
    await partial;
    await writeDisk(overlay, 1024, pattern(512, 4));
    base.release();
    await turn();
    expectSame(await contentsOf(overlay), patched([0, pattern(4096, 3)], [1024, pattern(512, 4)]), 'everything');
  });

  it('need nothing of the base any more once the block is zeroed', async () => {
    const { base, overlay } = heldBase();
    const partial = writeDisk(overlay, 512, pattern(512, 2));
    await writeZeroesDisk(overlay, 0, 8192);
    await partial;
    base.release();
    await turn();
    const expected = baseBytes.slice().fill(0, 0, 8192);
    expectSame(await contentsOf(overlay), expected, 'everything');
    expect(overlay.statistics).toEqual({ dirtyBlocks: 0, zeroBlocks: 2, dirtyBytes: 0 });
  });

  it('do not show an old block to a read that began before a write and ended after it', async () => {
    const { base, overlay } = heldBase();
    await writeDisk(overlay, 0, pattern(4096, 2));
    const read = readDisk(overlay, 0, 3 * 4096);
    await writeDisk(overlay, 4096, pattern(4096, 3));
    base.release();
    const expected = patched([0, pattern(4096, 2)], [4096, pattern(4096, 3)]).subarray(0, 3 * 4096);
    expectSame(await read, expected, 'the read');
  });

  it('finish in any order of the base with the data in place', async () => {
    const { base, overlay } = heldBase();
    const writes = [5, 3, 1].map((block) => writeDisk(overlay, block * 4096 + 512, pattern(4096, block)));
    expect(base.held).toEqual([0, 1, 2, 3, 4, 5]);
    base.finish([4, 1, 0]);
    await turn();
    base.finish([5, 2, 3]);
    await Promise.all(writes);
    base.release();
    const expected = patched(...[1, 3, 5].map((b): [number, Uint8Array] => [b * 4096 + 512, pattern(4096, b)]));
    expectSame(await contentsOf(overlay), expected, 'everything');
  });
});

describe('an overlay whose base fails', () => {
  it('fails the writes that wait for it, keeps the base as it was, and tries again at the next', async () => {
    const { base, overlay } = heldBase();
    const error = new Error('a bad sector');
    const writes = [writeDisk(overlay, 512, pattern(512, 2)), writeDisk(overlay, 1024, pattern(512, 3))];
    const failures = Promise.allSettled(writes);
    base.fault = () => error;
    base.release();
    expect(await failures).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    base.fault = undefined;
    expectSame(await contentsOf(overlay), baseBytes, 'everything');
    await writeDisk(overlay, 512, pattern(512, 4));
    expectSame(await contentsOf(overlay), patched([512, pattern(512, 4)]), 'everything');
  });

  it('fails reads of the base and of both, and not those of its own blocks', async () => {
    const base = new FaultyDisk(new MemoryDisk({ bytes: baseBytes }), { fault: () => new Error('a bad sector') });
    const overlay = new OverlayDisk(base);
    await writeDisk(overlay, 0, pattern(4096, 2));
    await expect(readDisk(overlay, 8192, 4096)).rejects.toThrow('a bad sector');
    await expect(readDisk(overlay, 0, 8192)).rejects.toThrow('a bad sector');
    expectSame(await readDisk(overlay, 0, 4096), pattern(4096, 2), 'its own');
    await expect(overlay.resize(63).then(() => overlay.resize(64))).rejects.toThrow('a bad sector');
    expect(overlay.capacitySectors).toBe(63);
  });
});

describe('an overlay that is resized', () => {
  it('shows neither the base nor old data where it was cut off and grew again', async () => {
    for (const size of [64, 60, 59, 8, 3]) {
      const overlay = new OverlayDisk(new MemoryDisk({ bytes: baseBytes }), { capacitySectors: 80 });
      await writeDisk(overlay, 56 * 512, pattern(24 * 512, 2));
      const expected = (await contentsOf(overlay)).fill(0, size * 512);
      await overlay.resize(size);
      await overlay.resize(80);
      expectSame(await contentsOf(overlay), expected, `cut off at ${size}`);
      const copy = new OverlayDisk(new MemoryDisk({ bytes: baseBytes }), { capacitySectors: 80 });
      copy.restore(overlay.snapshot());
      expectSame(await contentsOf(copy), expected, `restored after a cut at ${size}`);
    }
  });

  it('shows no old data beyond the base in a block that it kept', async () => {
    const overlay = new OverlayDisk(new MemoryDisk({ bytes: baseBytes }), { capacitySectors: 80 });
    await writeDisk(overlay, 64 * 512, pattern(16 * 512, 2));
    await overlay.resize(67);
    await overlay.resize(80);
    const expected = new Uint8Array(16 * 512);
    expected.set(pattern(16 * 512, 2).subarray(0, 3 * 512));
    expectSame(await readDisk(overlay, 64 * 512, 16 * 512), expected, 'beyond the base');
  });

  it('fails what is in flight beyond its new end', async () => {
    const { base, overlay } = heldBase();
    const write = writeDisk(overlay, 50 * 512, pattern(512, 2));
    await writeDisk(overlay, 40 * 512, pattern(4096, 2));
    const read = readDisk(overlay, 32 * 512, 20 * 512);
    const outcome = Promise.allSettled([write, read]);
    await overlay.resize(16);
    base.release();
    expect(await outcome).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    expect(overlay.statistics.dirtyBlocks).toBe(0);
  });

  it('is resized by one at a time', async () => {
    const { base, overlay } = heldBase();
    await overlay.resize(3);
    const growing = overlay.resize(20);
    await expect(overlay.resize(10)).rejects.toThrow('resized already');
    base.release();
    await growing;
    expect(overlay.capacitySectors).toBe(20);
  });
});
