import type { Disk, DiskOperation, DiskRequest } from '../devices/block/disk.ts';
import { ForwardedRequest } from './forwarded-request.ts';
import { WrappedDisk } from './wrapped-disk.ts';

/** One line of a FaultyDisk's log. */
export interface LoggedOperation {
  /** Counts the requests of the disk from 0. */
  readonly sequence: number;
  readonly operation: DiskOperation;
  readonly position: number;
  readonly length: number;
  /** `held` before the disk behind has seen it, `started` when it has, `answered` when its answer is withheld. */
  readonly stage: 'held' | 'started' | 'answered' | 'completed' | 'failed';
}

export interface FaultyDiskOptions {
  /** Milliseconds that an operation waits before the disk behind sees it; see `fixedLatency` and `seededLatency`. */
  readonly latency?: (operation: LoggedOperation) => number;
  /** Runs `action` after the delay: setTimeout, or a test's own clock. Needed with `latency`. */
  readonly schedule?: (action: () => void, delayMs: number) => void;
  /** An error for an operation that shall fail without reaching the disk behind. */
  readonly fault?: (operation: LoggedOperation) => Error | undefined;
}

interface Entry {
  readonly request: DiskRequest;
  readonly logged: { -readonly [K in keyof LoggedOperation]: LoggedOperation[K] };
}

/**
 * A disk that misbehaves on command, for tests of what is in front of it: late, in another order, with errors, or not
 * at all. What it lets through is done by the disk behind it.
 */
export class FaultyDisk extends WrappedDisk {
  /** As in the options; may be changed at any time. */
  fault: ((operation: LoggedOperation) => Error | undefined) | undefined;
  readonly #latency: ((operation: LoggedOperation) => number) | undefined;
  readonly #schedule: (action: () => void, delayMs: number) => void;
  readonly #log: LoggedOperation[] = [];
  /** By sequence, in the order of arrival. */
  readonly #held: Map<number, Entry> = new Map();
  readonly #withheld: (() => void)[] = [];
  #isHolding = false;
  #isHanging = false;
  #inFlight = 0;

  /** Throws TypeError for a latency without a schedule. */
  constructor(disk: Disk, options: FaultyDiskOptions = {}) {
    super(disk);
    if (options.latency !== undefined && options.schedule === undefined) {
      throw new TypeError('A latency needs a schedule: give setTimeout, or the clock of the test');
    }
    this.#latency = options.latency;
    this.#schedule = options.schedule ?? ((action) => action());
    this.fault = options.fault;
  }

  /** Requests that came and are not finished, wherever they are. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Every request since the disk was made, in the order of arrival. */
  get log(): readonly LoggedOperation[] {
    return this.#log;
  }

  /** Sequence numbers of what `hold` keeps back, in the order of arrival. */
  get held(): readonly number[] {
    return [...this.#held.keys()];
  }

  submit(request: DiskRequest): void {
    const { operation, position, length } = request;
    const logged: Entry['logged'] = { sequence: this.#log.length, operation, position, length, stage: 'held' };
    const entry: Entry = { request, logged };
    this.#log.push(logged);
    this.#inFlight++;
    if (this.#isHolding) this.#held.set(logged.sequence, entry);
    else this.#delay(entry);
  }

  /** From now on requests stop here, before the disk behind has seen them. */
  hold(): void {
    this.#isHolding = true;
  }

  /**
   * Lets held requests go on: the oldest `which`, or those with these sequence numbers in this order. Later ones are
   * still held. Throws RangeError for one that is not held.
   */
  finish(which: number | readonly number[]): void {
    const sequences = typeof which === 'number' ? this.held.slice(0, which) : which;
    if (typeof which === 'number' && sequences.length < which) {
      throw new RangeError(`${which} requests are to be finished, but ${sequences.length} are held`);
    }
    for (const sequence of sequences) {
      const entry = this.#held.get(sequence);
      if (entry === undefined)
        throw new RangeError(`Request ${sequence} is not held; held are: ${this.held.join(', ')}`);
      this.#held.delete(sequence);
      this.#delay(entry);
    }
  }

  /** From now on the disk works but does not answer: completions and errors are withheld. */
  hang(): void {
    this.#isHanging = true;
  }

  /** Ends `hold` and `hang`: what was kept back goes on, in the order in which it came. */
  release(): void {
    this.#isHolding = false;
    this.#isHanging = false;
    for (const answer of this.#withheld.splice(0)) answer();
    this.finish(this.held);
  }

  #delay(entry: Entry): void {
    if (this.#latency === undefined) this.#start(entry);
    else this.#schedule(() => this.#start(entry), this.#latency(entry.logged));
  }

  #start(entry: Entry): void {
    const { request, logged } = entry;
    logged.stage = 'started';
    const error = this.fault?.(logged);
    if (error !== undefined) {
      this.#answer(entry, error);
      return;
    }
    this.disk.submit(new ForwardedRequest(request, 0, logged.length, (failure) => this.#answer(entry, failure)));
  }

  #answer(entry: Entry, error: Error | undefined): void {
    if (this.#isHanging) {
      entry.logged.stage = 'answered';
      this.#withheld.push(() => this.#answer(entry, error));
      return;
    }
    this.#inFlight--;
    entry.logged.stage = error === undefined ? 'completed' : 'failed';
    if (error === undefined) entry.request.complete();
    else entry.request.fail(error);
  }
}

/** The same for every operation. */
export function fixedLatency(delayMs: number): () => number {
  return () => delayMs;
}

/** Between the two, in whole milliseconds; the same sequence for the same seed. */
export function seededLatency(seed: number, leastMs: number, mostMs: number): () => number {
  let state = seed >>> 0;
  return () => {
    // A 32-bit linear congruential step; its high bits choose.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return leastMs + Math.floor((state / 2 ** 32) * (mostMs - leastMs + 1));
  };
}
