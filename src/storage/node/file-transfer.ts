import type { DiskRequest } from '../../devices/block/disk.ts';
import { asError } from '../refusal.ts';
import { imageError, shrunkError } from './image-error.ts';
import { imageStatus, type OpenImage } from './open-image.ts';

/** What one call to the operating system moves at most; a multiple of every block. */
export const stagingBytes = 262144;

const zeroes = new Uint8Array(stagingBytes);

/**
 * Carries out one request at a time against the file, in as many calls as it needs: a call may move less than asked.
 * Its staging memory and callbacks are made once and serve one request after the other.
 */
export class FileTransfer {
  readonly #image: OpenImage;
  /** The transfer can be started again within this call. */
  readonly #finished: (transfer: FileTransfer, request: DiskRequest, error: Error | undefined) => void;
  readonly #staging: Uint8Array;
  #request: DiskRequest | undefined;
  /** Bytes of the request that are done. */
  #done = 0;
  /** Bytes in the staging memory, from `#done` on, and those of them that were written. */
  #staged = 0;
  #sent = 0;
  #holes: 'yes' | 'no' = 'yes';

  constructor(
    image: OpenImage,
    finished: (transfer: FileTransfer, request: DiskRequest, error: Error | undefined) => void,
  ) {
    this.#image = image;
    this.#finished = finished;
    this.#staging = image.direct?.allocate(stagingBytes) ?? new Uint8Array(stagingBytes);
  }

  /** Starts a read, write, discard or writeZeroes that lies within the file as it should be. */
  start(request: DiskRequest): void {
    this.#request = request;
    this.#done = 0;
    this.#staged = 0;
    this.#sent = 0;
    if (request.length === 0) this.#finish(undefined);
    else if (request.operation === 'read') this.#read(request);
    else this.#change(request);
  }

  #change(request: DiskRequest): void {
    try {
      // Beyond the end of a file that somebody cut off a write would succeed, with a hole of zeroes before it.
      if (imageStatus(this.#image).size < request.position + request.length)
        throw shrunkError(this.#image.path, request);
    } catch (thrown) {
      this.#finish(asError(thrown));
      return;
    }
    if (request.operation === 'write') this.#write(request);
    else if (request.operation === 'writeZeroes' && !request.mayUnmap) this.#zero(request);
    else this.#punch(request);
  }

  #read(request: DiskRequest): void {
    const { fd, calls, direct } = this.#image;
    const left = request.length - this.#done;
    const before = this.#beforeData(request);
    const count = direct === undefined ? left : direct.wholeBlocks(before + left);
    const position = request.position + this.#done - before;
    calls.read(fd, this.#staging, 0, Math.min(stagingBytes, count), position, this.#onRead);
  }

  /** Past the page cache whole blocks are read: bytes of the first one that come before what is wanted. */
  #beforeData(request: DiskRequest): number {
    const { direct } = this.#image;
    return direct === undefined ? 0 : (request.position + this.#done) % direct.blockBytes;
  }

  readonly #onRead = (error: Error | null, count: number): void => {
    const request = this.#request!;
    if (error !== null) {
      this.#finish(imageError(this.#image.path, error));
      return;
    }
    const before = this.#beforeData(request);
    const wanted = Math.min(count - before, request.length - this.#done);
    if (wanted <= 0) {
      this.#finish(shrunkError(this.#image.path, request));
      return;
    }
    request.putData(this.#done, this.#staging, before, wanted);
    this.#done += wanted;
    if (this.#done < request.length) this.#read(request);
    else this.#finish(undefined);
  };

  #write(request: DiskRequest): void {
    if (this.#sent === this.#staged) {
      this.#sent = 0;
      this.#staged = Math.min(stagingBytes, request.length - this.#done);
      try {
        request.copyData(this.#done, this.#staging, 0, this.#staged);
      } catch (thrown) {
        this.#finish(asError(thrown));
        return;
      }
    }
    const { fd, calls } = this.#image;
    const left = this.#staged - this.#sent;
    calls.write(fd, this.#staging, this.#sent, left, request.position + this.#done, this.#onWritten);
  }

  #zero(request: DiskRequest): void {
    const { fd, calls, direct } = this.#image;
    const count = Math.min(stagingBytes, request.length - this.#done);
    const bytes = direct === undefined ? zeroes : this.#staging.fill(0, 0, count);
    calls.write(fd, bytes, 0, count, request.position + this.#done, this.#onWritten);
  }

  readonly #onWritten = (error: Error | null, count: number): void => {
    const request = this.#request!;
    if (error !== null || count === 0) {
      this.#finish(imageError(this.#image.path, error ?? new Error('the operating system wrote nothing')));
      return;
    }
    this.#done += count;
    this.#sent += count;
    if (this.#done >= request.length) this.#finish(undefined);
    else if (request.operation === 'write') this.#write(request);
    else this.#zero(request);
  };

  /** A hole takes no room; where the file system has none, zeroes are written. */
  #punch(request: DiskRequest): void {
    const { fd, calls } = this.#image;
    if (this.#holes === 'no') {
      this.#zero(request);
      return;
    }
    calls.punchHole(fd, request.position, request.length).then(
      () => this.#finish(undefined),
      () => {
        this.#holes = 'no';
        this.#zero(request);
      },
    );
  }

  #finish(error: Error | undefined): void {
    const request = this.#request!;
    this.#request = undefined;
    this.#finished(this, request, error);
  }
}
