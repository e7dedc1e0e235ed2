import { describe, expect, it } from 'vitest';
import { decodeOverlay, encodeOverlay } from '../../../src/machine/overlay-section.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { readDisk, writeDisk } from '../../../src/storage/direct-request.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { OverlayDisk } from '../../../src/storage/overlay-disk.ts';

describe('the overlay of a disk, as a section of a saved machine', () => {
  it('goes on over the same base', async () => {
    const base = new MemoryDisk({ capacitySectors: 2 ** 20 });
    const before = new OverlayDisk(base);
    const data = Uint8Array.from({ length: 8192 }, (_, n) => n % 251);
    await writeDisk(before, 4096, data);
    await writeDisk(before, 2 ** 29 - 8192, data);
    const bytes = encodeOverlay(before.snapshot());
    const after = new OverlayDisk(base);
    after.restore(decodeOverlay(bytes));
    expect(await readDisk(after, 4096, 8192)).toEqual(data);
    expect(await readDisk(after, 2 ** 29 - 8192, 8192)).toEqual(data);
    expect(after.snapshot()).toEqual(before.snapshot());
  });

  it('holds capacities beyond 32 bits', () => {
    const state = {
      version: 1 as const,
      blockSize: 4096,
      capacitySectors: 2 ** 33 + 5,
      blocks: Uint32Array.of(1, 2 ** 32 - 1),
      data: new Uint8Array(4096).fill(7),
    };
    expect(decodeOverlay(encodeOverlay(state))).toEqual(state);
  });

  it('that is cut short is refused', () => {
    const overlay = new OverlayDisk(new MemoryDisk({ capacitySectors: 8 }));
    const bytes = encodeOverlay(overlay.snapshot());
    const header = new DataView(bytes.buffer);
    header.setUint32(12, 1, true);
    for (const cut of [bytes, bytes.subarray(0, 3)]) {
      expect(() => overlay.restore(decodeOverlay(cut))).toThrow(StateError);
    }
  });
});
