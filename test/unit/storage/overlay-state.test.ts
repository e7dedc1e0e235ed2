import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateError } from '../../../src/spec/fault.ts';
import {
  FaultyDisk,
  MemoryDisk,
  OverlayDisk,
  type OverlayState,
  readDisk,
  SimpleDisk,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';
import { contentsOf, expectSame, pattern, runSteps, seed, steps } from './disk-model.ts';

const baseBytes = pattern(203 * 512, 1);
const base = new MemoryDisk({ bytes: baseBytes });

async function dirtyOverlay(): Promise<OverlayDisk> {
  const overlay = new OverlayDisk(base);
  await writeDisk(overlay, 9 * 4096, pattern(4096, 2));
  await writeDisk(overlay, 4096, pattern(4096, 3));
  await writeZeroesDisk(overlay, 3 * 4096, 8192);
  return overlay;
}

describe('a snapshot of an overlay', () => {
  it('is plain data: blocks with data, then blocks of zeroes, each in order', async () => {
    const state = (await dirtyOverlay()).snapshot();
    expect(state).toMatchObject({ version: 1, blockSize: 4096, capacitySectors: 203 });
    expect([...state.blocks]).toEqual([1, 9, 3, 4]);
    expectSame(state.data.subarray(0, 4096), pattern(4096, 3), 'block 1');
    expectSame(state.data.subarray(4096), pattern(4096, 2), 'block 9');
    expect(structuredClone(state)).toEqual(state);
  });

  it('does not change with the overlay that it came from or went to', async () => {
    const overlay = await dirtyOverlay();
    const before = await contentsOf(overlay);
    const state = overlay.snapshot();
    await writeDisk(overlay, 4096, pattern(8192, 4));
    const other = new OverlayDisk(base);
    // A Buffer's slice is a view: restoring must copy all the same.
    other.restore({ ...state, data: Buffer.from(state.data.buffer) });
    await writeDisk(other, 4096, pattern(8192, 5));
    overlay.restore(state);
    expectSame(await contentsOf(overlay), before, 'the restored overlay');
  });

  it(`restores to the same contents after any requests, and goes on from there (seed ${seed})`, () =>
    fc.assert(
      fc.asyncProperty(steps, steps, async (first, second) => {
        const overlay = new OverlayDisk(base);
        await runSteps({ disk: overlay, resize: (n) => overlay.resize(n), dispose: () => undefined }, first);
        const state = structuredClone(overlay.snapshot());
        const restored = new OverlayDisk(base, { capacitySectors: state.capacitySectors });
        await writeDisk(restored, 0, pattern(8192, 77));
        restored.restore(state);
        expect(restored.statistics).toEqual(overlay.statistics);
        const { data, ...numbers } = restored.snapshot();
        expect({ ...numbers, data: null }).toEqual({ ...state, data: null });
        expectSame(data, state.data, 'the data of a second snapshot');
        expectSame(await contentsOf(restored), await contentsOf(overlay), 'the restored overlay');
        await runSteps({ disk: restored, resize: (n) => restored.resize(n), dispose: () => undefined }, second);
      }),
      { seed, numRuns: 60 },
    ));

  it('waits for quiet: none is taken, restored or committed while a request is in flight', async () => {
    const late = new FaultyDisk(new MemoryDisk({ bytes: baseBytes }));
    const overlay = new OverlayDisk(late);
    const state = overlay.snapshot();
    await writeDisk(overlay, 0, pattern(4096, 2));
    late.hold();
    for (const start of [() => writeDisk(overlay, 8192, pattern(512, 2)), () => readDisk(overlay, 0, 8192)]) {
      const inFlight = start();
      expect(() => overlay.snapshot()).toThrow('pause the device');
      expect(() => overlay.restore(state)).toThrow(StateError);
      await expect(overlay.commit(new MemoryDisk({ capacitySectors: 203 }))).rejects.toThrow(StateError);
      late.finish(1);
      await inFlight;
    }
    expect(overlay.snapshot().blocks).toHaveLength(2);
  });
});

describe('a state that does not fit', () => {
  const bad: [what: string, change: (state: OverlayState) => unknown, message: string][] = [
    ['no object', () => null, 'it is not an object'],
    ['another version', (s) => ({ ...s, version: 2 }), "its version is 2, this disk's is 1"],
    ['other blocks', (s) => ({ ...s, blockSize: 512 }), "its blockSize is 512, this disk's is 4096"],
    ['another capacity', (s) => ({ ...s, capacitySectors: 204 }), "its capacitySectors is 204, this disk's is 203"],
    ['a list of numbers', (s) => ({ ...s, blocks: [...s.blocks] }), 'its blocks is no Uint32Array'],
    ['no data', (s) => ({ ...s, data: undefined }), 'its data is no Uint8Array'],
    ['half a block', (s) => ({ ...s, data: s.data.subarray(100) }), 'data has 8092 bytes'],
    ['too much data', (s) => ({ ...s, blocks: s.blocks.subarray(0, 1) }), 'data has 2 blocks, but blocks has only 1'],
    ['a block beyond the end', (s) => ({ ...s, blocks: Uint32Array.of(1, 26, 3, 4) }), 'blocks[1] is 26'],
    ['blocks out of order', (s) => ({ ...s, blocks: Uint32Array.of(9, 1, 3, 4) }), 'blocks[1] is 1 after 9'],
    ['a block twice', (s) => ({ ...s, blocks: Uint32Array.of(1, 9, 4, 4) }), 'blocks[3] is 4 after 4'],
    ['data for zeroes', (s) => ({ ...s, blocks: Uint32Array.of(1, 9, 3, 9) }), 'block 9 has data and reads as zeroes'],
  ];

  it.each(bad)('with %s is refused, and nothing changes', async (_what, change, message) => {
    const overlay = await dirtyOverlay();
    const before = overlay.snapshot();
    const state = change(before) as OverlayState;
    expect(() => overlay.restore(state)).toThrow(StateError);
    expect(() => overlay.restore(state)).toThrow(message);
    expect(overlay.snapshot()).toEqual(before);
  });
});

describe('committing an overlay', () => {
  it(`gives a copy of the base the overlay's contents (seed ${seed})`, () =>
    fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const overlay = new OverlayDisk(base);
        await runSteps({ disk: overlay, resize: (n) => overlay.resize(n), dispose: () => undefined }, plan);
        const copy = new MemoryDisk({ bytes: baseBytes });
        if (overlay.capacitySectors > 203) copy.resize(overlay.capacitySectors);
        const statistics = await overlay.commit(copy);
        expect(statistics).toEqual(overlay.statistics);
        const end = overlay.capacitySectors * 512;
        expectSame((await contentsOf(copy)).subarray(0, end), await contentsOf(overlay), 'the copy');
      }),
      { seed, numRuns: 60 },
    ));

  it('writes neighbours together, zeroes too where the disk has no writeZeroes, and flushes', async () => {
    const overlay = new OverlayDisk(new MemoryDisk({ capacitySectors: 8192 }));
    await writeDisk(overlay, 4096, pattern(300 * 4096, 2));
    await writeZeroesDisk(overlay, 1000 * 4096, 8192);
    const log: string[] = [];
    const into = new SimpleDisk({
      capacitySectors: 8192,
      read: async (_position, length) => new Uint8Array(length),
      write: async (position, bytes) =>
        void log.push(`${bytes[0] === 0 ? 'zeroes' : 'data'} ${position} ${bytes.length}`),
      flush: async () => void log.push('flush'),
    });
    await overlay.commit(into);
    expect(log).toEqual([
      `data 4096 ${256 * 4096}`,
      `data ${257 * 4096} ${44 * 4096}`,
      `zeroes ${1000 * 4096} 8192`,
      'flush',
    ]);
  });

  it('is refused by a disk that is too small, by itself, and when it was written to meanwhile', async () => {
    const overlay = await dirtyOverlay();
    await expect(overlay.commit(new MemoryDisk({ capacitySectors: 202 }))).rejects.toThrow(RangeError);
    await expect(overlay.commit(overlay)).rejects.toThrow(RangeError);
    for (const change of [() => writeDisk(overlay, 0, pattern(4096, 5)), () => writeZeroesDisk(overlay, 0, 4096)]) {
      const into = new FaultyDisk(new MemoryDisk({ capacitySectors: 203 }));
      into.hold();
      const commit = overlay.commit(into);
      await change();
      into.release();
      await expect(commit).rejects.toThrow('written to during a commit');
    }
  });
});
