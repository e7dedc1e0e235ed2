import type { DiskOperation, DiskRequest } from '../devices/block/disk.ts';

/**
 * A part of another request, sent to another disk: the data goes between that disk and the target's buffers without a
 * copy in between. `finished` is called once, with the error when it failed; finishing the target is up to that.
 */
export class ForwardedRequest implements DiskRequest {
  readonly operation: DiskOperation;
  readonly position: number;
  readonly length: number;
  readonly mayUnmap: boolean;
  readonly #target: DiskRequest;
  readonly #start: number;
  readonly #finished: (error: Error | undefined) => void;

  /** The part of `target` that begins `start` bytes after its beginning. */
  constructor(target: DiskRequest, start: number, length: number, finished: (error: Error | undefined) => void) {
    this.operation = target.operation;
    this.position = target.position + start;
    this.length = length;
    this.mayUnmap = target.mayUnmap;
    this.#target = target;
    this.#start = start;
    this.#finished = finished;
  }

  copyData(start: number, target: Uint8Array, targetStart: number, length: number): void {
    this.#target.copyData(this.#start + start, target, targetStart, length);
  }

  putData(start: number, source: Uint8Array, sourceStart: number, length: number): void {
    this.#target.putData(this.#start + start, source, sourceStart, length);
  }

  complete(): void {
    this.#finished(undefined);
  }

  fail(error: Error): void {
    this.#finished(error);
  }
}
