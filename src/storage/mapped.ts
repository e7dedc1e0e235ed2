import { ftruncateSync } from 'node:fs';
import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';
import { StateError, TransportError } from '../spec/fault.ts';
import { fileBytes } from '../unix/file-blocks.ts';
import { checkCapacity, checkIdentity, checkTopology, sectorBytes } from './disk-options.ts';
import { nodeFileCalls } from './node/file-calls.ts';
import { imageError, shrunkError } from './node/image-error.ts';
import { MappedFile, WINDOW_BYTES } from './node/mapped-file.ts';
import { type ImageFileOptions, identityOf, type OpenImage, openImage } from './node/open-image.ts';
import { checkReadable, ReservedBlocks } from './node/reserved-blocks.ts';
import { asError, closedError, refusal } from './refusal.ts';

export type MappedDiskOptions = ImageFileOptions;

/**
 * Opens a raw image as a disk, mapped into memory. Needs Linux; to be written it must be on ext4 or tmpfs, where room can be
 * reserved; on tmpfs all of it is, at once. Locked, and refused, as by `openFileDisk`.
 */
export async function openMappedDisk(path: string, options: MappedDiskOptions = {}): Promise<MappedDisk> {
  const readOnly = options.readOnly ?? false;
  const identity = checkIdentity(options.identity ?? identityOf(path));
  const topology = checkTopology(options.topology);
  const { signal, locking = 'required', calls = nodeFileCalls } = options;
  const { image, bytes } = await openImage({ path, readOnly, access: 'cached', locking, signal, calls });
  try {
    return new MappedDisk(image, bytes / sectorBytes, { readOnly, identity, topology });
  } catch (error) {
    await calls.close(image.fd);
    throw error;
  }
}

/**
 * A raw image as memory: reads and writes are copies, done within `submit`. A flush is fdatasync, which writes what came by
 * memory, too, and does not hold up the thread. Made by `openMappedDisk`.
 *
 * For images that are mostly in the page cache: what is not stops the thread until the medium has answered. A medium that
 * cannot be read, and somebody who cuts off the file at the very moment of a copy, end the process: use `openFileDisk` where
 * that may be. A file that was cut off before fails the request.
 */
export class MappedDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'];
  onResize: (() => void) | undefined;
  readonly #image: OpenImage;
  readonly #file: MappedFile;
  /** Undefined for a read-only disk. */
  readonly #blocks: ReservedBlocks | undefined;
  #capacitySectors = 0;
  #flushes = 0;
  #flushError: Error | undefined;
  #onFlushed: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /** Use `openMappedDisk`: the image must be open, checked and locked. Throws TransportError when it cannot be mapped. */
  constructor(
    image: OpenImage,
    capacitySectors: number,
    options: { readonly readOnly: boolean; readonly identity: string; readonly topology: DiskTopology },
  ) {
    this.#image = image;
    this.readOnly = options.readOnly;
    this.identity = options.identity;
    this.topology = options.topology;
    this.supports = { flush: true, discard: !options.readOnly, writeZeroes: !options.readOnly };
    if (options.readOnly) checkReadable(image);
    else this.#blocks = new ReservedBlocks(image);
    this.#file = new MappedFile(image.fd, { writable: !options.readOnly });
    try {
      this.#adopt(capacitySectors);
      // Fails here rather than at the first write where blocks cannot be reserved at all.
      this.#blocks?.require(0, sectorBytes);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  get capacitySectors(): number {
    return this.#capacitySectors;
  }

  submit(request: DiskRequest): void {
    const refused = this.#closing === undefined ? refusal(this, request) : closedError();
    if (refused !== undefined) {
      request.fail(refused);
      return;
    }
    if (request.operation === 'flush') {
      this.#flush(request);
      return;
    }
    try {
      this.#transfer(request);
    } catch (thrown) {
      request.fail(asError(thrown));
      return;
    }
    request.complete();
  }

  /**
   * Makes the file larger, with zeroes, or cuts off its end, then calls `onResize`. Throws RangeError, StateError for a
   * read-only disk, TransportError when the file system refuses.
   */
  async resize(capacitySectors: number): Promise<void> {
    const length = checkCapacity(capacitySectors) * sectorBytes;
    if (this.#closing !== undefined) throw closedError();
    if (this.readOnly) throw new StateError(`Disk image ${this.#image.path} is open read-only: it cannot be resized`);
    if (capacitySectors === this.#capacitySectors) return;
    const before = this.#capacitySectors;
    try {
      ftruncateSync(this.#image.fd, length);
      this.#adopt(capacitySectors);
    } catch (thrown) {
      ftruncateSync(this.#image.fd, before * sectorBytes);
      this.#adopt(before);
      throw thrown instanceof TransportError ? thrown : imageError(this.#image.path, asError(thrown));
    }
    this.onResize?.();
  }

  /** Waits for the flushes in flight, then gives memory, file and lock back. What was not flushed is the system's to write. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #transfer(request: DiskRequest): void {
    const { operation, position, length } = request;
    if (length === 0) return;
    if (fileBytes(this.#image.fd) < position + length) throw shrunkError(this.#image.path, request);
    const mayFree = operation === 'discard' || (operation === 'writeZeroes' && request.mayUnmap);
    if (mayFree && this.#blocks!.free(position, length)) return;
    if (operation !== 'read') this.#blocks!.require(position, length);
    for (let done = 0; done < length; ) {
      const bytes = this.#file.window(position + done);
      const at = (position + done) % WINDOW_BYTES;
      const count = Math.min(WINDOW_BYTES - at, length - done);
      if (operation === 'read') request.putData(done, bytes, at, count);
      else if (operation === 'write') request.copyData(done, bytes, at, count);
      else bytes.fill(0, at, at + count);
      done += count;
    }
  }

  #flush(request: DiskRequest): void {
    this.#flushes++;
    this.#image.calls.fdatasync(this.#image.fd, (error) => {
      this.#flushes--;
      // After one failure the system may report success for data that it has dropped: no flush is believed again.
      if (error !== null) this.#flushError ??= imageError(this.#image.path, error);
      if (this.#flushError === undefined) request.complete();
      else request.fail(this.#flushError);
      if (this.#flushes === 0) this.#onFlushed?.();
    });
  }

  /** The file has that size. */
  #adopt(capacitySectors: number): void {
    const bytes = capacitySectors * sectorBytes;
    // Before the mapping: on tmpfs what is not reserved must not even be read.
    this.#blocks?.resize(bytes);
    this.#file.resize(bytes);
    this.#capacitySectors = capacitySectors;
  }

  async #close(): Promise<void> {
    if (this.#flushes > 0) {
      await new Promise<void>((resolve) => {
        this.#onFlushed = resolve;
      });
    }
    this.#file.close();
    await this.#image.calls.close(this.#image.fd);
  }
}
