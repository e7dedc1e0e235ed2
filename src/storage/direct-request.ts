import type { Disk, DiskOperation, DiskRequest } from '../devices/block/disk.ts';
import { StateError } from '../spec/fault.ts';

/**
 * A request that comes from TypeScript instead of a driver; its data is an array of the caller's. The functions below
 * make promises of it.
 *
 * It is strict, so that a disk which works here works behind a device: finishing twice, or touching the data
 * afterwards, throws into the disk.
 */
export class DirectRequest implements DiskRequest {
  readonly operation: DiskOperation;
  readonly position: number;
  readonly length: number;
  readonly mayUnmap: boolean;
  /** The data of a read or write, `length` bytes; empty for the others. */
  readonly #bytes: Uint8Array;
  readonly #settle: (error: Error | undefined) => void;
  #finished = false;

  constructor(plan: DirectRequestPlan, settle: (error: Error | undefined) => void) {
    this.operation = plan.operation;
    this.position = plan.position;
    this.length = plan.length;
    this.mayUnmap = plan.mayUnmap ?? false;
    this.#bytes = plan.bytes ?? nothing;
    this.#settle = settle;
  }

  copyData(start: number, target: Uint8Array, targetStart: number, length: number): void {
    this.#checkData('write', 'copyData', start, length);
    copy(target, targetStart, this.#bytes, start, length);
  }

  putData(start: number, source: Uint8Array, sourceStart: number, length: number): void {
    this.#checkData('read', 'putData', start, length);
    copy(this.#bytes, start, source, sourceStart, length);
  }

  complete(): void {
    this.#finish(undefined);
  }

  fail(error: Error): void {
    this.#finish(error);
  }

  #finish(error: Error | undefined): void {
    if (this.#finished)
      throw new StateError(`The disk finished a ${this.operation} twice: that is a fault of the disk`);
    this.#finished = true;
    this.#settle(error);
  }

  #checkData(operation: DiskOperation, call: string, start: number, length: number): void {
    if (this.#finished)
      throw new StateError(`The disk called ${call} on a finished request: that is a fault of the disk`);
    if (this.operation !== operation) {
      throw new StateError(`The disk called ${call} on a ${this.operation}: that is a fault of the disk`);
    }
    if (start < 0 || length < 0 || start + length > this.length) {
      throw new RangeError(
        `The disk called ${call} for bytes ${start} to ${start + length} of ${this.length}: that is a fault of the disk`,
      );
    }
  }
}

/** What to ask of a disk; `bytes` are the data of a read or write. */
export interface DirectRequestPlan {
  readonly operation: DiskOperation;
  readonly position: number;
  readonly length: number;
  readonly mayUnmap?: boolean;
  readonly bytes?: Uint8Array;
}

const nothing = new Uint8Array(0);

/**
 * The bytes of a disk, as a new array of the caller's. Position and length are multiples of 512.
 * Rejects with what the disk failed with, RangeError when the range is not on the disk.
 */
export async function readDisk(disk: Disk, position: number, length: number): Promise<Uint8Array> {
  checkLength(length);
  const bytes = new Uint8Array(length);
  await run(disk, { operation: 'read', position, length, bytes });
  return bytes;
}

/** Writes to the disk's cache. Position and length are multiples of 512; `bytes` must not change until it is done. */
export async function writeDisk(disk: Disk, position: number, bytes: Uint8Array): Promise<void> {
  await run(disk, { operation: 'write', position, length: bytes.length, bytes });
}

/** Makes stable what was written. Does nothing for a disk whose writes are stable at once. */
export async function flushDisk(disk: Disk): Promise<void> {
  if (disk.supports.flush) await run(disk, { operation: 'flush', position: 0, length: 0 });
}

/** Tells the disk that the range is not needed any more; what it reads as then is the disk's choice. */
export async function discardDisk(disk: Disk, position: number, length: number): Promise<void> {
  await run(disk, { operation: 'discard', position, length });
}

/** Makes the range read as zeroes. With `mayUnmap` the disk may deallocate it. */
export async function writeZeroesDisk(
  disk: Disk,
  position: number,
  length: number,
  options: { readonly mayUnmap?: boolean } = {},
): Promise<void> {
  await run(disk, { operation: 'writeZeroes', position, length, mayUnmap: options.mayUnmap ?? false });
}

function run(disk: Disk, plan: DirectRequestPlan): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.submit(new DirectRequest(plan, (error) => (error === undefined ? resolve() : reject(error))));
  });
}

function checkLength(length: number): void {
  if (!Number.isInteger(length) || length < 0) throw new RangeError(`A read of ${length} bytes is impossible`);
}

function copy(target: Uint8Array, targetStart: number, source: Uint8Array, sourceStart: number, length: number): void {
  if (sourceStart + length > source.length || targetStart + length > target.length) {
    throw new RangeError(`The disk gave an array too short for ${length} bytes: that is a fault of the disk`);
  }
  target.set(source.subarray(sourceStart, sourceStart + length), targetStart);
}
