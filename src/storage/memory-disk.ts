import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';
import { checkCapacity, checkIdentity, checkTopology, type DiskOptions, sectorBytes } from './disk-options.ts';
import { asError, closedError, refusal } from './refusal.ts';

/** The unit of allocation. With pages of 4 KiB a read of 1 MiB by a guest spent twice the time here (measured). */
const blockBytes = 64 * 1024;

/** A block that nobody wrote. Shared by all disks and never written to. */
const zeroBlock: Uint8Array = new Uint8Array(blockBytes);

/** Either the size of an empty disk, or its contents. */
export type MemoryDiskOptions = DiskOptions & ({ readonly capacitySectors: number } | { readonly bytes: Uint8Array });

/**
 * A disk in memory. Blocks of 64 KiB are allocated when they are first written; the rest reads as zeroes and costs
 * nothing. Every request is finished within `submit`.
 */
export class MemoryDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'] = { flush: true, discard: true, writeZeroes: true };
  onResize: (() => void) | undefined;
  #capacitySectors: number;
  readonly #blocks: Map<number, Uint8Array> = new Map();
  #closed = false;

  /**
   * `bytes` are copied, without the blocks that are all zero, and stay the caller's.
   * Throws RangeError when they are not whole sectors, or for an option that no disk can have.
   */
  constructor(options: MemoryDiskOptions) {
    this.readOnly = options.readOnly ?? false;
    this.identity = checkIdentity(options.identity ?? 'memory');
    this.topology = checkTopology(options.topology);
    if ('bytes' in options) {
      this.#capacitySectors = checkCapacity(sectorsOf(options.bytes));
      this.#load(options.bytes);
    } else {
      this.#capacitySectors = checkCapacity(options.capacitySectors);
    }
  }

  get capacitySectors(): number {
    return this.#capacitySectors;
  }

  /** Memory that the contents take. */
  get allocatedBytes(): number {
    return this.#blocks.size * blockBytes;
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
        try {
          this.#write(request);
        } catch (thrown) {
          request.fail(asError(thrown));
          return;
        }
        break;
      case 'discard':
      case 'writeZeroes':
        this.#zero(request.position, request.position + request.length);
        break;
      case 'flush':
        break;
    }
    request.complete();
  }

  /** Grows with zeroes or cuts off the end, then calls `onResize`. Throws RangeError for an impossible capacity. */
  resize(capacitySectors: number): void {
    const end = checkCapacity(capacitySectors) * sectorBytes;
    const oldEnd = this.#capacitySectors * sectorBytes;
    if (end === oldEnd) return;
    if (end < oldEnd) this.#zero(end, Math.ceil(oldEnd / blockBytes) * blockBytes);
    this.#capacitySectors = capacitySectors;
    this.onResize?.();
  }

  /** The contents are gone with it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#blocks.clear();
    return Promise.resolve();
  }

  #read(request: DiskRequest): void {
    const { position, length } = request;
    for (let done = 0; done < length; ) {
      const offset = (position + done) % blockBytes;
      const count = Math.min(blockBytes - offset, length - done);
      request.putData(done, this.#blocks.get((position + done - offset) / blockBytes) ?? zeroBlock, offset, count);
      done += count;
    }
  }

  #write(request: DiskRequest): void {
    const { position, length } = request;
    for (let done = 0; done < length; ) {
      const offset = (position + done) % blockBytes;
      const count = Math.min(blockBytes - offset, length - done);
      request.copyData(done, this.#block((position + done - offset) / blockBytes), offset, count);
      done += count;
    }
  }

  #zero(start: number, end: number): void {
    const lastBlock = Math.ceil(end / blockBytes);
    const span = lastBlock - Math.floor(start / blockBytes);
    if (span > this.#blocks.size) {
      for (const block of this.#blocks.keys()) this.#zeroBlock(block, start, end);
    } else {
      for (let block = lastBlock - span; block < lastBlock; block++) this.#zeroBlock(block, start, end);
    }
  }

  #zeroBlock(block: number, start: number, end: number): void {
    const from = Math.max(start - block * blockBytes, 0);
    const to = Math.min(end - block * blockBytes, blockBytes);
    if (from >= to) return;
    if (from === 0 && to === blockBytes) this.#blocks.delete(block);
    else this.#blocks.get(block)?.fill(0, from, to);
  }

  #block(number: number): Uint8Array {
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = new Uint8Array(blockBytes);
      this.#blocks.set(number, block);
    }
    return block;
  }

  #load(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length; start += blockBytes) {
      const part = bytes.subarray(start, start + blockBytes);
      if (!isZero(part)) this.#block(start / blockBytes).set(part);
    }
  }
}

function sectorsOf(bytes: Uint8Array): number {
  if (bytes.length === 0 || bytes.length % sectorBytes !== 0) {
    throw new RangeError(
      `${bytes.length} bytes are no disk: give at least one sector, padded with zeroes to a multiple of 512`,
    );
  }
  return bytes.length / sectorBytes;
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== 0) return false;
  }
  return true;
}
