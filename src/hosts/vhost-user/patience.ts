/** What it begins with again, once it is worth it. */
const FIRST_MS = 0.008;
/** After so many looks in vain, each followed by a kick, there are none for a while. */
const MOST_MISSES = 4;
const REST_MS = 100;

/** What came of looking: `preempted` when others needed the processor. */
export type LookResult = 'found' | 'nothing' | 'preempted';

/**
 * How long a thread looks at its queues before it sleeps. It doubles when a kick came soon after the thread slept, and is
 * nothing when none came: an idle device takes no processor. Where others need the processor, the driver perhaps among them,
 * there is no looking for a while; nor when kicks come only once the thread sleeps, time after time.
 */
export class Patience {
  readonly #mostMs: number;
  #ms: number;
  #misses = 0;
  #restsUntil = 0;

  constructor(mostMs: number) {
    this.#mostMs = mostMs;
    this.#ms = mostMs;
  }

  get ms(): number {
    return this.#ms;
  }

  /** The thread has looked for as long as that. */
  looked(result: LookResult, now: number): void {
    if (result === 'preempted') this.#restsUntil = now + REST_MS;
    this.#misses = result === 'found' || this.#ms < this.#mostMs ? 0 : this.#misses + 1;
  }

  /** The thread slept, and something has woken it up. Times in milliseconds. */
  slept(from: number, to: number): void {
    const soon = to - from <= this.#mostMs * 2;
    if (!soon) this.#misses = 0;
    if (this.#misses >= MOST_MISSES) {
      this.#misses = 0;
      this.#restsUntil = to + REST_MS;
    }
    this.#ms = soon && to >= this.#restsUntil ? Math.min(this.#mostMs, Math.max(this.#ms * 2, FIRST_MS)) : 0;
  }
}
