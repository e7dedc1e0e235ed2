import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';
import { TransportError } from '../spec/fault.ts';
import { checkCapacity, checkIdentity, checkTopology, type DiskOptions } from './disk-options.ts';
import { asError, closedError, refusal } from './refusal.ts';

/**
 * The functions behind a SimpleDisk. Positions and lengths are bytes, multiples of 512, within the capacity; several
 * calls may be in progress at once. A function that throws or rejects fails the driver's request.
 */
export interface SimpleDiskFunctions extends Omit<DiskOptions, 'readOnly'> {
  readonly capacitySectors: number;
  /** Exactly `length` bytes. They are copied at once; the array stays the function's. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** `bytes` are the function's to keep. Without `write` the disk is read-only. */
  write?(position: number, bytes: Uint8Array): Promise<void>;
  /** Makes every finished write stable. Without it a finished write must be stable. */
  flush?(): Promise<void>;
  discard?(position: number, length: number): Promise<void>;
  writeZeroes?(position: number, length: number): Promise<void>;
  close?(): Promise<void>;
}

/** A disk made of promise functions, for a disk in a few lines. What the functions lack, the driver is not offered. */
export class SimpleDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'];
  onResize: (() => void) | undefined;
  #capacitySectors: number;
  readonly #functions: SimpleDiskFunctions;
  #closed = false;

  /** Throws RangeError for a capacity, identity or topology that no disk can have. */
  constructor(functions: SimpleDiskFunctions) {
    this.#functions = functions;
    this.#capacitySectors = checkCapacity(functions.capacitySectors);
    this.identity = checkIdentity(functions.identity ?? 'simple');
    this.topology = checkTopology(functions.topology);
    this.readOnly = functions.write === undefined;
    this.supports = {
      flush: functions.flush !== undefined,
      discard: functions.discard !== undefined,
      writeZeroes: functions.writeZeroes !== undefined,
    };
  }

  get capacitySectors(): number {
    return this.#capacitySectors;
  }

  submit(request: DiskRequest): void {
    const refused = this.#closed ? closedError() : refusal(this, request);
    if (refused !== undefined) {
      request.fail(refused);
      return;
    }
    this.#run(request).then(
      () => request.complete(),
      (thrown: unknown) => request.fail(asError(thrown)),
    );
  }

  /** Says that what is behind the functions has another capacity now, and calls `onResize`. Throws RangeError. */
  resize(capacitySectors: number): void {
    if (checkCapacity(capacitySectors) === this.#capacitySectors) return;
    this.#capacitySectors = capacitySectors;
    this.onResize?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#functions.close?.();
  }

  async #run(request: DiskRequest): Promise<void> {
    const { operation, position, length } = request;
    if (operation === 'read') {
      const bytes: unknown = await blame(operation, () => this.#functions.read(position, length));
      if (!(bytes instanceof Uint8Array) || bytes.length !== length) throw wrongRead(bytes, position, length);
      request.putData(0, bytes, 0, length);
    } else if (operation === 'write') {
      const bytes = new Uint8Array(length);
      request.copyData(0, bytes, 0, length);
      await blame(operation, () => this.#functions.write?.(position, bytes));
    } else if (operation === 'flush') {
      await blame(operation, () => this.#functions.flush?.());
    } else {
      await blame(operation, () => this.#functions[operation]?.(position, length));
    }
  }
}

async function blame<Result>(operation: string, call: () => Promise<Result> | undefined): Promise<Result | undefined> {
  try {
    return await call();
  } catch (thrown) {
    throw new TransportError(
      `The ${operation} function given to SimpleDisk failed: ${asError(thrown).message}. What is behind that function is at fault`,
      { cause: thrown },
    );
  }
}

function wrongRead(result: unknown, position: number, length: number): TransportError {
  const what = result instanceof Uint8Array ? `${result.length} bytes` : `no Uint8Array (${typeof result})`;
  return new TransportError(
    `The read function given to SimpleDisk returned ${what} for ${length} bytes at ${position}. ` +
      'That function is at fault: it must return exactly what was asked for',
  );
}
