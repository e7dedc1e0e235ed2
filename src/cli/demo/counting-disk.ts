import type { Disk, DiskRequest } from '../../devices/block/disk.ts';
import { WrappedDisk } from '../../storage/wrapped-disk.ts';

/** Where the counts are in `results`. */
export const WriteResult = { EXECUTED: 0, REPEATED: 1 } as const;

/**
 * A disk behind which nothing is done at once: requests end some turns of the event loop later, out of order, so that a
 * suspend finds requests in flight. Counts the tag (first word) of every write, to see that none was executed twice.
 */
export class CountingDisk extends WrappedDisk {
  readonly #tags = new Set<number>();
  readonly #results: Int32Array;
  readonly #first = new Uint8Array(4);
  #held: DiskRequest[] = [];
  #turns = 0;

  /** `results` has two numbers that another thread may read: see `WriteResult`. */
  constructor(disk: Disk, results: Int32Array = new Int32Array(2)) {
    super(disk);
    this.#results = results;
  }

  /** Writes that were executed, and those among them whose tag was written before. */
  get writes(): { readonly executed: number; readonly repeated: number } {
    return { executed: this.#results[WriteResult.EXECUTED]!, repeated: this.#results[WriteResult.REPEATED]! };
  }

  submit(request: DiskRequest): void {
    if (request.operation === 'write') this.#count(request);
    this.#held.push(request);
    if (this.#held.length === 1) setImmediate(() => this.#work());
  }

  get inFlight(): number {
    return this.#held.length;
  }

  /** Ends about half of what is held, every second one, and the rest in the next turn. */
  #work(): void {
    const parity = this.#turns++ % 2;
    const now = this.#held.filter((_, index) => index % 2 === parity || this.#held.length < 4);
    this.#held = this.#held.filter((request) => !now.includes(request));
    if (this.#held.length > 0) setImmediate(() => this.#work());
    for (const request of now) this.disk.submit(request);
  }

  #count(request: DiskRequest): void {
    request.copyData(0, this.#first, 0, 4);
    const tag = new DataView(this.#first.buffer).getUint32(0, true);
    Atomics.add(this.#results, this.#tags.has(tag) ? WriteResult.REPEATED : WriteResult.EXECUTED, 1);
    this.#tags.add(tag);
  }
}
