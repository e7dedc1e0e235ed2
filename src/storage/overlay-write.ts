import type { DiskRequest } from '../devices/block/disk.ts';
import { blockBytes } from './block-bytes.ts';
import { sectorBytes } from './disk-options.ts';

/** A `BlockFill` whose every sector was written. */
const allSectors = (1 << (blockBytes / sectorBytes)) - 1;

/**
 * A block that was written in part and waits for the rest of it from the base. Writes that come meanwhile go into it
 * too; what the base then delivers never replaces what was written.
 */
export class BlockFill {
  readonly block: number;
  /** What the block becomes; only the written sectors are valid so far. */
  readonly bytes: Uint8Array = new Uint8Array(blockBytes);
  readonly waiting: PendingWrite[] = [];
  /** A bit for each sector. */
  #written = 0;

  constructor(block: number) {
    this.block = block;
  }

  /** Nothing of the base is needed any more. */
  get isComplete(): boolean {
    return this.#written === allSectors;
  }

  /** Says that `count` bytes of `bytes` from `offset` were written. Both are multiples of 512. */
  markWritten(offset: number, count: number): void {
    for (let at = offset; at < offset + count; at += sectorBytes) this.#written |= 1 << (at / sectorBytes);
  }

  /** Takes what was not written from the base's bytes of the block, which may be fewer than a block. */
  merge(base: Uint8Array): void {
    for (let at = 0; at < base.length; at += sectorBytes) {
      if (((this.#written >>> (at / sectorBytes)) & 1) === 0) this.bytes.set(base.subarray(at, at + sectorBytes), at);
    }
  }
}

/** A write, discard or writeZeroes that may have to wait for fills: it is finished when all its parts are. */
export class PendingWrite {
  readonly #request: Pick<DiskRequest, 'complete' | 'fail'>;
  #parts = 1;
  #error: Error | undefined;

  constructor(request: Pick<DiskRequest, 'complete' | 'fail'>) {
    this.#request = request;
  }

  addPart(): void {
    this.#parts++;
  }

  finishPart(error: Error | undefined): void {
    this.#error ??= error;
    this.#parts--;
    if (this.#parts > 0) return;
    if (this.#error === undefined) this.#request.complete();
    else this.#request.fail(this.#error);
  }
}
