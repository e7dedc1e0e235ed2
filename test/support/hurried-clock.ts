import type { Clock } from '../../src/device/clock.ts';

/** Time that leaps to whatever is waited for, as soon as nothing else is left to be done. */
export class HurriedClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  #isDue = false;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    this.#leapSoon();
    return () => this.#timers.delete(timer);
  }

  #leapSoon(): void {
    if (this.#isDue || this.#timers.size === 0) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#leap();
    });
  }

  #leap(): void {
    const [first] = [...this.#timers].sort((a, b) => a.at - b.at);
    if (first === undefined) return;
    this.#timers.delete(first);
    this.#now = Math.max(this.#now, first.at);
    first.callback();
    this.#leapSoon();
  }
}
