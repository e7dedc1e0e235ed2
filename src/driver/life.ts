/**
 * From one reset of a device to the next, or to its failure. What was begun in a life and waits for the device asks after
 * each wait whether that life goes on: it must neither write to a device that somebody has set up anew, nor judge it.
 */
export class Life {
  #reason: Error | undefined;
  /** The queue that is being reset. */
  queueInReset: number | undefined;

  get ended(): boolean {
    return this.#reason !== undefined;
  }

  end(reason: Error): void {
    this.#reason ??= reason;
  }

  /** Throws the reason of its end. */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }
}
