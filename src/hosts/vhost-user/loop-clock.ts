import type { Clock } from '../../device/clock.ts';

/**
 * Time for a thread that waits in foreign calls, where timers of the event loop would never come: the thread asks how long it
 * may wait, and calls `run`.
 */
export class LoopClock implements Clock {
  /** Called when something was added, for whoever does not wait in such a call at present. */
  onAfter: (() => void) | undefined;
  /** The earliest first. */
  readonly #due: { readonly at: number; readonly callback: () => void }[] = [];

  now(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): () => void {
    const entry = { at: this.now() + delayMs, callback };
    const before = this.#due.findIndex(({ at }) => at > entry.at);
    this.#due.splice(before < 0 ? this.#due.length : before, 0, entry);
    this.onAfter?.();
    return () => {
      const index = this.#due.indexOf(entry);
      if (index >= 0) this.#due.splice(index, 1);
    };
  }

  /** Whole milliseconds until something is due; -1 when nothing is. */
  get waitMs(): number {
    const [first] = this.#due;
    return first === undefined ? -1 : Math.max(0, Math.ceil(first.at - this.now()));
  }

  /** Calls back what is due. */
  run(): void {
    const now = this.now();
    while (this.#due.length > 0 && this.#due[0]!.at <= now) this.#due.shift()!.callback();
  }
}
