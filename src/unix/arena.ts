import { fstatSync } from 'node:fs';
import koffi from 'koffi';
import { TransportError } from '../spec/fault.ts';
import { type Address, checked, libc } from './libc.ts';
import { MapFlag, map, Protection } from './mapping.ts';

/** A larger view ends the process (measured with koffi 3.3 on Node 20). */
const MOST_BYTES = 2 ** 32;
export const PAGE_BYTES = 4096;

/** A piece of a file to map. Its offset is a multiple of a page; what is left of the last page is mapped, too. */
export interface FilePiece {
  readonly fd: number;
  readonly fdOffset: number;
  readonly length: number;
  /** Without it what is written stays here: the file does not change, and nothing faults. */
  readonly writable: boolean;
}

/**
 * A range of addresses that is reserved once, seen through one ArrayBuffer for ever: files are mapped into it and out of it
 * again, and no view is ever detached. Costs no memory but for what is mapped.
 *
 * Never touch what was not mapped yet: that ends the process, as does a page of a file that somebody has made shorter. Other
 * processes may change it at any time. It lives as long as the process, or until `release`.
 */
export class Arena {
  readonly buffer: ArrayBuffer;
  readonly #address: Address;

  private constructor(address: Address, bytes: number) {
    this.#address = address;
    this.buffer = koffi.view(address, bytes);
  }

  /** At most 4 GiB, in whole pages. Throws RangeError, TransportError when there are no such addresses. */
  static reserve(bytes: number): Arena {
    if (!isPages(bytes) || bytes === 0 || bytes > MOST_BYTES) {
      throw new RangeError(`${bytes} bytes cannot be reserved: whole pages up to ${MOST_BYTES} bytes can`);
    }
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE;
    const mapping = { address: null, length: bytes, protection: Protection.NONE, flags, fd: -1, fdOffset: 0 };
    return new Arena(map(mapping, `${bytes} bytes of addresses`), bytes);
  }

  /** Puts a piece of a file at `offset`, in place of what is there. Throws TransportError when the file is shorter. */
  map(offset: number, piece: FilePiece): void {
    const { fd, fdOffset, writable } = piece;
    const length = wholePages(piece.length);
    this.#check(offset, length);
    const { size } = fstatSync(fd);
    // Beyond the end of the file each access would end the process.
    if (size < fdOffset + piece.length) {
      throw new TransportError(`${piece.length} bytes at ${fdOffset} of a file of ${size} bytes cannot be mapped`);
    }
    const flags = (writable ? MapFlag.SHARED : MapFlag.PRIVATE) | MapFlag.FIXED;
    const address = this.#address + BigInt(offset);
    const mapping = { address, length, protection: Protection.READ_WRITE, flags, fd, fdOffset };
    map(mapping, `${length} bytes at ${fdOffset} of descriptor ${fd}`);
  }

  /** Takes a file out again. What reads here later reads zeroes, and what writes here writes nothing of anybody's. */
  unmap(offset: number, length: number): void {
    const pages = wholePages(length);
    this.#check(offset, pages);
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE | MapFlag.FIXED;
    const address = this.#address + BigInt(offset);
    map(
      { address, length: pages, protection: Protection.READ_WRITE, flags, fd: -1, fdOffset: 0 },
      'the place of a file',
    );
  }

  /** Gives the addresses back. Whoever touches the buffer then ends the process, so let no view of it be in use. */
  release(): void {
    checked(libc().munmap(this.#address, this.buffer.byteLength), 'munmap', 'an arena');
  }

  #check(offset: number, length: number): void {
    if (!isPages(offset) || !isPages(length) || length === 0 || offset + length > this.buffer.byteLength) {
      throw new RangeError(`${length} bytes at ${offset} are no whole pages of an arena of ${this.buffer.byteLength}`);
    }
  }
}

/** Rounded up. */
export function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

function isPages(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes >= 0 && bytes % PAGE_BYTES === 0;
}
