import type { QtestSocket } from './qtest-socket.ts';

/** Something that may assert an interrupt line: its handler reads the cause, which lowers the line. */
export interface InterruptSource {
  onInterrupt: (() => void) | undefined;
}

/**
 * Interrupt lines that devices share. A line that stays high says nothing new, so as long as one is high all handlers are
 * called again, each time when the accesses of the time before are through.
 */
export class LevelInterrupts {
  readonly #qtest: QtestSocket;
  readonly #sources: InterruptSource[] = [];
  readonly #high = new Set<number>();
  #handling = false;

  constructor(qtest: QtestSocket) {
    this.#qtest = qtest;
    qtest.onInterruptLine = (line, asserted) => {
      if (asserted) this.#high.add(line);
      else this.#high.delete(line);
      if (asserted && !this.#handling) void this.#handle();
    };
  }

  add(source: InterruptSource): void {
    this.#sources.push(source);
  }

  async #handle(): Promise<void> {
    this.#handling = true;
    try {
      // Handlers of no device are there while it is being set up: then the line waits for the next change.
      while (this.#high.size > 0 && this.#sources.some(({ onInterrupt }) => onInterrupt !== undefined)) {
        for (const { onInterrupt } of this.#sources) onInterrupt?.();
        await this.#qtest.settled();
      }
    } catch {
      // The connection is gone: whoever waits for an answer hears of it from his own access.
    } finally {
      this.#handling = false;
    }
  }
}
