import type { DiskRequest } from '../devices/block/disk.ts';
import { StateError } from '../spec/fault.ts';
import { blockBytes, zeroBlock } from './block-bytes.ts';
import { BlockSet } from './block-set.ts';
import type { OverlayState } from './overlay-state.ts';
import { BlockFill, type PendingWrite } from './overlay-write.ts';

/**
 * The blocks of an overlay: which have data of their own, which hide the base's with zeroes, which wait for the base.
 * All other blocks are the base's, or zeroes beyond its end.
 */
export class OverlayBlocks {
  readonly #baseBytes: number;
  readonly #fetch: (fill: BlockFill) => void;
  /** A block is in at most one of these three. */
  readonly #blocks: Map<number, Uint8Array> = new Map();
  readonly #zeroes: BlockSet = new BlockSet();
  readonly #fills: Map<number, BlockFill> = new Map();

  /** `fetch` reads a fill's block from the base and ends in `settle`, perhaps before it returns. */
  constructor(baseBytes: number, fetch: (fill: BlockFill) => void) {
    this.#baseBytes = baseBytes;
    this.#fetch = fetch;
  }

  /** Blocks with data, by number. Changes with every write. */
  get data(): ReadonlyMap<number, Uint8Array> {
    return this.#blocks;
  }

  /** Blocks of the base that read as zeroes. */
  get zeroes(): BlockSet {
    return this.#zeroes;
  }

  get hasFills(): boolean {
    return this.#fills.size > 0;
  }

  /** Whether the byte at this position, or a part of its block, is still the base's. */
  needsBase(at: number): boolean {
    const block = Math.floor(at / blockBytes);
    return at < this.#baseBytes && !this.#blocks.has(block) && !this.#zeroes.has(block);
  }

  /**
   * Puts everything that is not the base's into a read. What a fill has is left out: the write that brought it is not
   * finished, so the read need not see it yet.
   */
  deliver(request: DiskRequest): void {
    const { position, length } = request;
    for (let done = 0; done < length; ) {
      const at = position + done;
      const count = partLength(at, length - done);
      const block = Math.floor(at / blockBytes);
      const bytes = this.#blocks.get(block);
      if (bytes !== undefined) {
        request.putData(done, bytes, at % blockBytes, count);
      } else {
        const fromBase = this.#zeroes.has(block) ? 0 : Math.max(Math.min(this.#baseBytes - at, count), 0);
        if (fromBase < count) request.putData(done + fromBase, zeroBlock, 0, count - fromBase);
      }
      done += count;
    }
  }

  /**
   * Puts `count` bytes into one block: the data that `source` has for that place, or zeroes. When the block then waits
   * for the base, `pending` waits with it. Throws what `source` throws, before anything has changed.
   */
  put(at: number, count: number, pending: PendingWrite, source: DiskRequest | undefined): void {
    const block = Math.floor(at / blockBytes);
    const offset = at % blockBytes;
    const present = this.#blocks.get(block);
    if (present !== undefined) {
      copyFrom(source, at, present, offset, count);
      return;
    }
    const current = this.#fills.get(block);
    const fill = current ?? new BlockFill(block);
    copyFrom(source, at, fill.bytes, offset, count);
    fill.markWritten(offset, count);
    if (current === undefined) this.#fills.set(block, fill);
    if (fill.isComplete || !this.needsBase(block * blockBytes)) {
      this.#zeroes.delete(block);
      this.settle(fill, undefined);
      return;
    }
    pending.addPart();
    fill.waiting.push(pending);
    if (current === undefined) this.#fetch(fill);
  }

  /** Zeroes a part of one block; see `put`. A block that reads as zeroes already takes no memory for it. */
  zero(at: number, count: number, pending: PendingWrite): void {
    const block = Math.floor(at / blockBytes);
    const isHole = !this.#blocks.has(block) && !this.needsBase(block * blockBytes);
    if (!isHole && count > 0) this.put(at, count, pending, undefined);
  }

  /** Zeroes whole blocks, from `first` to before `end`. */
  zeroBlocks(first: number, end: number): void {
    for (const fill of [...this.#fills.values()]) {
      if (fill.block >= first && fill.block < end) this.settle(fill, undefined);
    }
    this.#drop(first, end);
    const hidden = Math.min(end, Math.ceil(this.#baseBytes / blockBytes));
    for (let block = first; block < hidden; block++) this.#zeroes.add(block);
  }

  /** Ends a fill, unless it has ended: a block that was written completely does not wait for the base. */
  settle(fill: BlockFill, error: Error | undefined): void {
    if (this.#fills.get(fill.block) !== fill) return;
    this.#fills.delete(fill.block);
    if (error === undefined) this.#blocks.set(fill.block, fill.bytes);
    for (const write of fill.waiting) write.finishPart(error);
  }

  /** Drops the blocks from `first` on; writes that wait for one of them fail. */
  cut(first: number): void {
    const gone = new StateError('The overlay was made smaller while a write beyond its new end was in flight');
    for (const fill of [...this.#fills.values()]) if (fill.block >= first) this.settle(fill, gone);
    this.#drop(first, Number.POSITIVE_INFINITY);
    this.#zeroes.deleteFrom(first);
  }

  clear(): void {
    this.#blocks.clear();
    this.#zeroes.clear();
  }

  snapshot(capacitySectors: number): OverlayState {
    const numbers = [...this.#blocks.keys()].sort((a, b) => a - b);
    const data = new Uint8Array(numbers.length * blockBytes);
    for (const [i, block] of numbers.entries()) data.set(this.#blocks.get(block)!, i * blockBytes);
    const blocks = new Uint32Array(numbers.length + this.#zeroes.size);
    blocks.set(numbers);
    let next = numbers.length;
    for (const block of this.#zeroes) blocks[next++] = block;
    return { version: 1, blockSize: blockBytes, capacitySectors, blocks, data };
  }

  /** Replaces everything by a copy of a state that was checked. */
  restore(state: OverlayState): void {
    this.clear();
    const withData = state.data.length / blockBytes;
    for (const [i, block] of state.blocks.entries()) {
      if (i < withData) this.#blocks.set(block, copyOf(state.data.subarray(i * blockBytes, (i + 1) * blockBytes)));
      else this.#zeroes.add(block);
    }
  }

  #drop(first: number, end: number): void {
    if (end - first > this.#blocks.size) {
      for (const block of this.#blocks.keys()) if (block >= first && block < end) this.#blocks.delete(block);
    } else {
      for (let block = first; block < end; block++) this.#blocks.delete(block);
    }
  }
}

/** Bytes from `at` to the end of its block, at most `left`. */
export function partLength(at: number, left: number): number {
  return Math.min(blockBytes - (at % blockBytes), left);
}

function copyFrom(
  source: DiskRequest | undefined,
  at: number,
  target: Uint8Array,
  offset: number,
  count: number,
): void {
  if (source === undefined) target.fill(0, offset, offset + count);
  else source.copyData(at - source.position, target, offset, count);
}

/** Not `slice`, which for a Buffer of Node is no copy. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy;
}
