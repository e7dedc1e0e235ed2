import type { NbdCommand } from './connection.ts';

/** Data that is kept; a server is asked to flush at half of it, and beyond it nothing more is sent before it has. */
const MOST_BYTES = 64 << 20;
/** What a command takes without data. */
const COMMAND_BYTES = 256;

/**
 * What a server has said is done, and has not flushed yet: when it dies it may be lost, and has to be done again before
 * a flush can be believed.
 */
export class Unflushed {
  readonly #commands: NbdCommand[] = [];
  #bytes = 0;
  /** Commands that were ever dropped from the beginning. */
  #dropped = 0;

  get wantsFlush(): boolean {
    return this.#bytes > MOST_BYTES / 2;
  }

  get isFull(): boolean {
    return this.#bytes > MOST_BYTES;
  }

  /** In the order in which they were answered, which is the one in which to do them again. */
  get commands(): readonly NbdCommand[] {
    return this.#commands;
  }

  add(command: NbdCommand): void {
    this.#commands.push(command);
    this.#bytes += COMMAND_BYTES + (command.data?.length ?? 0);
  }

  /** What a flush that is asked for now will be for: give it to `drop` once that is done. */
  get mark(): number {
    return this.#dropped + this.#commands.length;
  }

  drop(mark: number): void {
    for (const { data } of this.#commands.splice(0, Math.max(mark - this.#dropped, 0))) {
      this.#bytes -= COMMAND_BYTES + (data?.length ?? 0);
      this.#dropped++;
    }
  }
}
