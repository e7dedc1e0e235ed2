/** Time as a device or driver sees it; a test brings its own. */
export interface Clock {
  /** Milliseconds from some start, never going back. */
  now(): number;
  /** Calls back once, not before `delayMs` have passed; the result cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

// The core knows no platform's globals; every JavaScript host has these two.
declare const setTimeout: (callback: () => void, delayMs: number) => unknown;
declare const clearTimeout: (timer: unknown) => void;
declare const performance: { now(): number };

export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
