import type { DiskOperation } from '../../devices/block/disk.ts';
import type { ImageEvent } from './open-disk.ts';

/** A guest may ask again and again for what cannot be done, and must not fill a log with that. */
const PAUSE_MS = 1000;

/** Counts what a disk could not do. Of each operation an error is told at most once in a second, with how many were not. */
export class DiskErrors {
  count = 0;
  readonly #tell: (event: ImageEvent) => void;
  readonly #nowMs: () => number;
  readonly #told = new Map<DiskOperation, { readonly atMs: number; untold: number }>();

  constructor(tell: (event: ImageEvent) => void, nowMs: () => number = () => performance.now()) {
    this.#tell = tell;
    this.#nowMs = nowMs;
  }

  add(operation: DiskOperation, { message: reason }: Error): void {
    this.count++;
    const last = this.#told.get(operation);
    const atMs = this.#nowMs();
    if (last !== undefined && atMs - last.atMs < PAUSE_MS) {
      last.untold++;
      return;
    }
    this.#told.set(operation, { atMs, untold: 0 });
    const untold = last?.untold ?? 0;
    this.#tell({ event: 'disk-error', operation, reason, ...(untold === 0 ? {} : { untold }) });
  }
}
