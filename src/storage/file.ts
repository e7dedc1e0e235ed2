import { type Disk, type DiskRequest, type DiskTopology, defaultTopology } from '../devices/block/disk.ts';
import { StateError } from '../spec/fault.ts';
import { checkCapacity, checkIdentity, checkTopology, sectorBytes } from './disk-options.ts';
import { BlockPatcher } from './node/block-patcher.ts';
import { type FileAccess, nodeFileCalls } from './node/file-calls.ts';
import { FileTransfer } from './node/file-transfer.ts';
import { imageError } from './node/image-error.ts';
import {
  checkMultiple,
  closeImage,
  type ImageFileOptions,
  identityOf,
  imageBytes,
  type OpenImage,
  openImage,
} from './node/open-image.ts';
import { asError, closedError, refusal } from './refusal.ts';

export interface FileDiskOptions extends ImageFileOptions {
  /**
   * `cached` unless given. `direct` goes past the page cache (O_DIRECT): for images that are read once, or larger than memory. Needs
   * Linux and a file system that can, which tmpfs cannot. Where the medium has larger blocks than 512 bytes the size of the image has to be
   * a multiple of them, and a write of parts of blocks is slow.
   */
  readonly access?: FileAccess;
}

/** Requests that are with the operating system at once; more wait. Node's pool has 4 threads unless told otherwise. */
const maximumTransfers = 16;

/**
 * Opens a raw image as a disk. A writable disk excludes every other disk on the file, a read-only one every writer,
 * across processes; the lock ends with the disk or its process.
 *
 * Throws TransportError when the file is missing, may not be opened, is no regular file, is empty, is not a multiple of
 * 512 bytes, is in use, or has no `direct` access where it is; nothing is written then. RangeError for an identity or
 * topology that no disk can have.
 */
export async function openFileDisk(path: string, options: FileDiskOptions = {}): Promise<FileDisk> {
  const readOnly = options.readOnly ?? false;
  const identity = checkIdentity(options.identity ?? identityOf(path));
  checkTopology(options.topology);
  const { signal, access = 'cached', locking = 'required', calls = nodeFileCalls } = options;
  const { image, bytes } = await openImage({ path, readOnly, access, locking, signal, calls });
  const blockSize = image.direct?.blockBytes ?? defaultTopology.blockSize;
  const topology = checkTopology(options.topology, { ...defaultTopology, blockSize });
  return new FileDisk(image, bytes / sectorBytes, { readOnly, identity, topology });
}

/**
 * A raw image file as a disk. Up to 16 requests are with the operating system at once, and finish in any order; data
 * goes through staging memory that is used again and again. A flush is fdatasync. Made by `openFileDisk`.
 */
export class FileDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'];
  onResize: (() => void) | undefined;
  readonly #image: OpenImage;
  #capacitySectors: number;
  readonly #idle: FileTransfer[] = [];
  readonly #patcher: BlockPatcher | undefined;
  readonly #waiting: DiskRequest[] = [];
  #inFlight = 0;
  /** Resizes and the like that want the file for themselves: requests wait while there is one. */
  #alone = 0;
  #lastAlone: Promise<unknown> = Promise.resolve();
  #onQuiet: (() => void) | undefined;
  #flushError: Error | undefined;
  #closing: Promise<void> | undefined;

  /** Use `openFileDisk`: the image must be open, checked and locked. */
  constructor(
    image: OpenImage,
    capacitySectors: number,
    options: { readonly readOnly: boolean; readonly identity: string; readonly topology: DiskTopology },
  ) {
    this.#image = image;
    this.#patcher = image.direct === undefined ? undefined : new BlockPatcher(image, image.direct);
    this.#capacitySectors = capacitySectors;
    this.readOnly = options.readOnly;
    this.identity = options.identity;
    this.topology = options.topology;
    this.supports = { flush: true, discard: !options.readOnly, writeZeroes: !options.readOnly };
  }

  get capacitySectors(): number {
    return this.#capacitySectors;
  }

  submit(request: DiskRequest): void {
    if (this.#alone > 0 || (request.operation !== 'flush' && this.#inFlight >= maximumTransfers)) {
      this.#waiting.push(request);
      return;
    }
    this.#start(request);
  }

  /**
   * Makes the file larger, with zeroes, or cuts off its end, then calls `onResize`. Waits for the requests in flight;
   * those that come meanwhile wait for it. Throws RangeError, StateError for a read-only disk, TransportError when the
   * file system refuses.
   */
  resize(capacitySectors: number): Promise<void> {
    return this.#whenQuiet(async () => {
      const length = checkCapacity(capacitySectors) * sectorBytes;
      if (this.readOnly) throw new StateError(`Disk image ${this.#image.path} is open read-only: it cannot be resized`);
      checkMultiple(this.#image, length);
      await this.#image.calls.ftruncate(this.#image.fd, length).catch((cause: Error) => {
        throw imageError(this.#image.path, cause);
      });
      this.#adopt(capacitySectors);
    });
  }

  /**
   * Takes over the file's size when something outside has changed it, and calls `onResize`. Returns the capacity.
   * Throws TransportError, and keeps the capacity, when no disk can have that size.
   */
  refresh(): Promise<number> {
    return this.#whenQuiet(async () => {
      this.#adopt(imageBytes(this.#image) / sectorBytes);
      return this.#capacitySectors;
    });
  }

  /** Waits for the requests in flight, then gives the file and its lock back. What was not flushed is the system's to write. */
  close(): Promise<void> {
    this.#closing ??= this.#whenQuiet(() => closeImage(this.#image));
    return this.#closing;
  }

  #start(request: DiskRequest): void {
    const refused = this.#closing === undefined ? refusal(this, request) : closedError();
    if (refused !== undefined) {
      request.fail(refused);
      return;
    }
    if (this.#patcher?.isFor(request)) {
      this.#patch(this.#patcher, request);
      return;
    }
    this.#inFlight++;
    if (request.operation === 'flush') this.#flush(request);
    else this.#transfer().start(request);
  }

  /** Whole blocks are read, changed and written back: nobody else may write into them meanwhile. */
  #patch(patcher: BlockPatcher, request: DiskRequest): void {
    this.#whenQuiet(() => patcher.patch(request)).then(
      () => request.complete(),
      (error: unknown) => request.fail(asError(error)),
    );
  }

  #transfer(): FileTransfer {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    return new FileTransfer(this.#image, (transfer, request, error) => {
      this.#idle.push(transfer);
      this.#finish(request, error);
    });
  }

  #flush(request: DiskRequest): void {
    this.#image.calls.fdatasync(this.#image.fd, (error) => {
      // After one failure the system may report success for data that it has dropped: no flush is believed again.
      if (error !== null) this.#flushError ??= imageError(this.#image.path, error);
      this.#finish(request, this.#flushError);
    });
  }

  #finish(request: DiskRequest, error: Error | undefined): void {
    this.#inFlight--;
    if (error === undefined) request.complete();
    else request.fail(error);
    this.#goOn();
  }

  /** Starts what waits and may start. */
  #goOn(): void {
    if (this.#alone > 0) {
      if (this.#inFlight === 0) this.#onQuiet?.();
      return;
    }
    while (this.#waiting.length > 0 && this.#alone === 0 && this.#inFlight < maximumTransfers) {
      this.#start(this.#waiting.shift()!);
    }
  }

  /** Runs `work` when no request is in flight, one after the other; requests that come meanwhile wait. */
  #whenQuiet<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    this.#alone++;
    const turn = this.#lastAlone
      .then(() => this.#quiet())
      .then(work)
      .finally(() => {
        this.#alone--;
        this.#goOn();
      });
    this.#lastAlone = turn.catch(() => undefined);
    return turn;
  }

  #quiet(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
    });
  }

  #adopt(capacitySectors: number): void {
    if (capacitySectors === this.#capacitySectors) return;
    this.#capacitySectors = capacitySectors;
    this.onResize?.();
  }
}
