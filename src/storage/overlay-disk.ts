import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';
import { StateError } from '../spec/fault.ts';
import { blockBytes } from './block-bytes.ts';
import { DirectRequest } from './direct-request.ts';
import { checkCapacity, checkIdentity, checkTopology, type DiskOptions, sectorBytes } from './disk-options.ts';
import { ForwardedRequest } from './forwarded-request.ts';
import { OverlayBlocks, partLength } from './overlay-blocks.ts';
import { commitBlocks } from './overlay-commit.ts';
import { checkOverlayState, type OverlayState } from './overlay-state.ts';
import { type BlockFill, PendingWrite } from './overlay-write.ts';
import { asError, closedError, refusal } from './refusal.ts';

export interface OverlayDiskOptions extends DiskOptions {
  /** The base's capacity unless given. What is beyond the base reads as zeroes. */
  readonly capacitySectors?: number;
}

/** What an overlay holds that its base does not. */
export interface OverlayStatistics {
  /** Blocks with data of their own. */
  readonly dirtyBlocks: number;
  /** Blocks that hide the base's data with zeroes; they take one bit each. */
  readonly zeroBlocks: number;
  /** Memory that the dirty blocks take. */
  readonly dirtyBytes: number;
}

/** The largest disk whose block numbers fit the state's 32 bits: 16 TiB. */
const maximumSectors = 2 ** 32 * (blockBytes / sectorBytes);

/**
 * Copy on write: the base is only read, what is written stays in memory in blocks of 4096 bytes, and can be saved.
 *
 * Data is taken from the driver within `submit`, so of two writes in flight to the same bytes the later one wins.
 * A write of a part of a block fetches the rest from the base first, and is finished when that has come.
 * The base must not change while the overlay is in use; several overlays may share it. Whoever made it closes it.
 */
export class OverlayDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'] = { flush: true, discard: true, writeZeroes: true };
  onResize: (() => void) | undefined;
  readonly #base: Disk;
  readonly #baseBytes: number;
  #capacitySectors: number;
  readonly #blocks: OverlayBlocks;
  #patchedReads = 0;
  #changes = 0;
  #resizing = false;
  #closed = false;

  /** Throws RangeError for a capacity, identity or topology that no overlay can have. */
  constructor(base: Disk, options: OverlayDiskOptions = {}) {
    this.#base = base;
    this.#baseBytes = base.capacitySectors * sectorBytes;
    this.#blocks = new OverlayBlocks(this.#baseBytes, (fill) => this.#fetch(fill));
    this.#capacitySectors = checkOverlayCapacity(options.capacitySectors ?? base.capacitySectors);
    this.readOnly = options.readOnly ?? false;
    this.identity = checkIdentity(options.identity ?? base.identity);
    this.topology = checkTopology(options.topology, wholeBlocks(base.topology));
  }

  get capacitySectors(): number {
    return this.#capacitySectors;
  }

  get statistics(): OverlayStatistics {
    const dirtyBlocks = this.#blocks.data.size;
    return { dirtyBlocks, zeroBlocks: this.#blocks.zeroes.size, dirtyBytes: dirtyBlocks * blockBytes };
  }

  submit(request: DiskRequest): void {
    const refused = this.#closed ? closedError() : refusal(this, request);
    if (refused !== undefined) {
      request.fail(refused);
      return;
    }
    switch (request.operation) {
      case 'read':
        this.#read(request);
        break;
      case 'write':
        this.#write(request);
        break;
      case 'discard':
      case 'writeZeroes':
        this.#zero(request.position, request.position + request.length, request);
        break;
      case 'flush':
        request.complete();
        break;
    }
  }

  /**
   * Grows with zeroes or cuts off the end, then calls `onResize`; the base stays as it is. Requests in flight beyond a
   * new end may fail. Throws RangeError for an impossible capacity, StateError while another resize is in progress.
   */
  async resize(capacitySectors: number): Promise<void> {
    const end = checkOverlayCapacity(capacitySectors) * sectorBytes;
    if (this.#resizing) throw new StateError('The overlay is being resized already: await that first');
    const oldEnd = this.#capacitySectors * sectorBytes;
    if (end === oldEnd) return;
    this.#resizing = true;
    try {
      if (end < oldEnd) this.#blocks.cut(Math.ceil(end / blockBytes));
      else await this.#hideBase(oldEnd, Math.min(end, this.#baseBytes));
    } finally {
      this.#resizing = false;
    }
    this.#capacitySectors = capacitySectors;
    this.#changes++;
    this.onResize?.();
  }

  /** A copy of what the overlay holds. Throws StateError while a request is in flight: suspend or pause the device first. */
  snapshot(): OverlayState {
    this.#checkQuiet('snapshot');
    return this.#blocks.snapshot(this.#capacitySectors);
  }

  /**
   * Replaces what the overlay holds by a copy of the state, which must have been saved over the same base.
   * Throws StateError, and changes nothing, when the state does not fit or a request is in flight.
   */
  restore(state: OverlayState): void {
    this.#checkQuiet('restore');
    checkOverlayState(state, this.#capacitySectors);
    this.#blocks.restore(state);
    this.#changes++;
  }

  /**
   * Writes what the overlay holds to a disk with the base's contents: a copy of the base, or the base itself when it is
   * open for writing; and flushes it. The overlay stays as it is. The disk has at least this capacity, and zeroes
   * beyond the base's end. Throws RangeError when it is too small, StateError when the overlay was written to meanwhile
   * (pause the device first), and what the disk failed with.
   */
  async commit(into: Disk): Promise<OverlayStatistics> {
    this.#checkQuiet('commit');
    if (into === this || into.capacitySectors < this.#capacitySectors) {
      throw new RangeError(
        `A commit needs another disk of at least ${this.#capacitySectors} sectors; this one has ${into.capacitySectors}`,
      );
    }
    const changes = this.#changes;
    const statistics = this.statistics;
    await commitBlocks(this.#blocks.data, this.#blocks.zeroes, this.#capacitySectors * sectorBytes, into);
    if (this.#changes !== changes) {
      throw new StateError('The overlay was written to during a commit: pause the device, then commit again');
    }
    return statistics;
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#blocks.clear();
    return Promise.resolve();
  }

  #read(request: DiskRequest): void {
    const { position, length } = request;
    // The part that the base has to be asked for, and whether anything in it is ours after all.
    let first = length;
    let end = 0;
    let isOwn = false;
    for (let done = 0; done < length; ) {
      const at = position + done;
      const count = partLength(at, length - done);
      if (this.#blocks.needsBase(at)) {
        if (first === length) first = done;
        end = Math.min(done + count, this.#baseBytes - position);
      } else {
        isOwn = true;
      }
      done += count;
    }
    if (first >= end) {
      this.#blocks.deliver(request);
      request.complete();
    } else if (!isOwn && end === length) {
      this.#base.submit(request);
    } else {
      this.#patchedReads++;
      this.#base.submit(new ForwardedRequest(request, first, end - first, (error) => this.#patch(request, error)));
    }
  }

  /** The base's part of a read has come. What was written since the read began is taken from the overlay. */
  #patch(request: DiskRequest, error: Error | undefined): void {
    this.#patchedReads--;
    const failure = error ?? refusal(this, request);
    if (failure !== undefined) {
      request.fail(failure);
      return;
    }
    this.#blocks.deliver(request);
    request.complete();
  }

  #write(request: DiskRequest): void {
    const { position, length } = request;
    const pending = new PendingWrite(request);
    this.#changes++;
    let failure: Error | undefined;
    try {
      for (let done = 0; done < length; ) {
        const count = partLength(position + done, length - done);
        this.#blocks.put(position + done, count, pending, request);
        done += count;
      }
    } catch (thrown) {
      failure = asError(thrown);
    }
    pending.finishPart(failure);
  }

  #zero(position: number, end: number, finish: Pick<DiskRequest, 'complete' | 'fail'>): void {
    const pending = new PendingWrite(finish);
    this.#changes++;
    const first = Math.ceil(position / blockBytes);
    const last = Math.floor(end / blockBytes);
    if (first > last) {
      this.#blocks.zero(position, end - position, pending);
    } else {
      this.#blocks.zero(position, first * blockBytes - position, pending);
      this.#blocks.zeroBlocks(first, last);
      this.#blocks.zero(last * blockBytes, end - last * blockBytes, pending);
    }
    pending.finishPart(undefined);
  }

  #fetch(fill: BlockFill): void {
    const position = fill.block * blockBytes;
    const length = Math.min(blockBytes, this.#baseBytes - position);
    const bytes = new Uint8Array(length);
    const request = new DirectRequest({ operation: 'read', position, length, bytes }, (error) => {
      if (error === undefined) fill.merge(bytes);
      this.#blocks.settle(fill, error);
    });
    this.#base.submit(request);
  }

  /** Zeroes what growing would show: the base's data, and what a block keeps beyond the old end. */
  #hideBase(position: number, end: number): Promise<void> {
    const blockEnd = Math.ceil(position / blockBytes) * blockBytes;
    return new Promise((resolve, reject) => {
      this.#zero(position, Math.max(end, blockEnd), { complete: resolve, fail: reject });
    });
  }

  #checkQuiet(what: string): void {
    if (this.#blocks.hasFills || this.#patchedReads > 0 || this.#resizing) {
      throw new StateError(`A ${what} came with requests in flight: suspend or pause the device first`);
    }
  }
}

function checkOverlayCapacity(capacitySectors: number): number {
  if (checkCapacity(capacitySectors) > maximumSectors) {
    throw new RangeError(`An overlay of ${capacitySectors} sectors is too large: give at most ${maximumSectors}`);
  }
  return capacitySectors;
}

/** The base's hints, with a physical block of at least ours: then drivers align to it and parts of blocks are rare. */
function wholeBlocks(base: DiskTopology): DiskTopology {
  const exponent = Math.max(base.physicalBlockExponent, Math.log2(blockBytes / base.blockSize), 0);
  return { ...base, physicalBlockExponent: exponent };
}
