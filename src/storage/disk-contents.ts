import type { Disk } from '../devices/block/disk.ts';
import { readDisk } from './direct-request.ts';
import { sectorBytes } from './disk-options.ts';

/**
 * The whole disk from its first byte, in arrays of `chunkBytes` (the last may be shorter): to hash, compare or export
 * it. Each array is new and the caller's. What is written to the disk meanwhile may or may not be seen.
 * Throws RangeError when `chunkBytes` is not a multiple of 512, and what the disk failed with.
 */
export async function* diskContents(disk: Disk, chunkBytes: number = 1 << 20): AsyncGenerator<Uint8Array, void> {
  if (!Number.isInteger(chunkBytes) || chunkBytes < sectorBytes || chunkBytes % sectorBytes !== 0) {
    throw new RangeError(`A chunk of ${chunkBytes} bytes is not made of whole sectors: give a multiple of 512`);
  }
  for (let position = 0; ; position += chunkBytes) {
    const left = disk.capacitySectors * sectorBytes - position;
    if (left <= 0) return;
    yield await readDisk(disk, position, Math.min(chunkBytes, left));
  }
}
