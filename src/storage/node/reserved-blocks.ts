import { fstatSync, statfsSync } from 'node:fs';
import { TransportError } from '../../spec/fault.ts';
import { freeBlocks, reserveBlocks } from '../../unix/file-blocks.ts';
import { asError } from '../refusal.ts';
import { FileSystem } from './file-systems.ts';
import { imageError } from './image-error.ts';
import type { OpenImage } from './open-image.ts';

/** Reserved at once: small enough not to make a sparse image much larger, large enough to be needed seldom. */
const CHUNK_BYTES = 1 << 20;

/** Throws TransportError for an image that cannot even be read without taking room: a full file system would end the process. */
export function checkReadable({ fd, path }: OpenImage): void {
  const { blocks, size } = fstatSync(fd);
  if (statfsSync(path).type !== FileSystem.TMPFS || blocks * 512 >= size) return;
  throw new TransportError(`Disk image ${path} has holes, which cannot be mapped on tmpfs. Open it as a file`);
}

/**
 * Which parts of a mapped file have their blocks. A full file system has no other way to refuse what is written to memory
 * than to end the process, so room is reserved before a part is first written.
 */
export class ReservedBlocks {
  readonly #fd: number;
  readonly #path: string;
  /** One byte for each chunk, 1 when it has all of its blocks. */
  #chunks = new Uint8Array(0);
  #bytes = 0;
  /** Where even a read of a hole takes a block, all is reserved from the beginning, and stays so. */
  readonly #allAtOnce: boolean;

  /** Throws TransportError when the file system does not keep what is reserved. */
  constructor({ fd, path }: OpenImage) {
    this.#fd = fd;
    this.#path = path;
    const { type } = statfsSync(path);
    // File systems that write elsewhere do not keep what was reserved.
    if (type !== FileSystem.EXT4 && type !== FileSystem.TMPFS) {
      throw new TransportError(
        `Disk image ${path} cannot be mapped to be written: only ext4 and tmpfs are known to keep room for what is ` +
          'written to memory. Open it as a file, or read-only',
      );
    }
    this.#allAtOnce = type === FileSystem.TMPFS;
  }

  /** Takes over another size of the file. Throws TransportError when the file system has no room. */
  resize(bytes: number): void {
    if (this.#allAtOnce) this.#reserve(0, bytes);
    const chunks = new Uint8Array(Math.ceil(bytes / CHUNK_BYTES));
    chunks.set(this.#chunks.subarray(0, chunks.length));
    // Where the file ended and goes on now there was less to reserve.
    if (bytes > this.#bytes && this.#bytes % CHUNK_BYTES !== 0) chunks[Math.floor(this.#bytes / CHUNK_BYTES)] = 0;
    this.#chunks = chunks;
    this.#bytes = bytes;
  }

  /** To be called before a range is written. Throws TransportError when there is no room: then nothing must be written. */
  require(position: number, length: number): void {
    if (this.#allAtOnce) return;
    const end = Math.ceil((position + length) / CHUNK_BYTES);
    for (let chunk = Math.floor(position / CHUNK_BYTES); chunk < end; chunk++) {
      if (this.#chunks[chunk] === 1) continue;
      const start = chunk * CHUNK_BYTES;
      this.#reserve(start, Math.min(CHUNK_BYTES, this.#bytes - start));
      this.#chunks[chunk] = 1;
    }
  }

  /** Makes a range zeroes that take no room; false, and nothing is done, where it has to keep its blocks. */
  free(position: number, length: number): boolean {
    if (this.#allAtOnce) return false;
    this.#chunks.fill(0, Math.floor(position / CHUNK_BYTES), Math.ceil((position + length) / CHUNK_BYTES));
    try {
      freeBlocks(this.#fd, position, length);
      return true;
    } catch {
      return false;
    }
  }

  #reserve(position: number, length: number): void {
    try {
      reserveBlocks(this.#fd, position, length);
    } catch (thrown) {
      throw imageError(this.#path, asError(thrown));
    }
  }
}
