import { expect } from 'vitest';

/** For `beforeEach` and `afterEach`: no promise is rejected without anybody to notice. */
export function watchRejections(): { start(): void; stop(): Promise<void> } {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => {
    unhandled.push(reason);
  };
  return {
    start: () => {
      unhandled.length = 0;
      process.on('unhandledRejection', note);
    },
    stop: async () => {
      // Node reports a rejection when the turn of the event loop ends.
      await new Promise((resolve) => setImmediate(resolve));
      process.off('unhandledRejection', note);
      expect(unhandled).toEqual([]);
    },
  };
}
