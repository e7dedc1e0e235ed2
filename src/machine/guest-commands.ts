import { randomBytes } from 'node:crypto';
import { StateError, TransportError } from '../spec/fault.ts';
import type { SerialLine } from './serial-line.ts';

export interface CommandResult {
  /** Standard output and standard error as they came; invalid UTF-8 is replaced. */
  readonly output: string;
  readonly exitCode: number;
}

/** The byte around the marks that guest/serve-commands sets. */
const RS = '\u001e';
/** An upper bound for the characters of an end mark. */
const LONGEST_MARK = 24;

/** Shell commands for guest/serve-commands at the other end of a serial port, one at a time. */
export class GuestCommands {
  readonly #line: SerialLine;
  #last: Promise<unknown> = Promise.resolve();
  #abort: ((error: Error) => void) | undefined;
  #closed: StateError | undefined;

  constructor(line: SerialLine) {
    this.#line = line;
  }

  /**
   * Runs a command line in a shell of its own, after the commands before it. Rejects with TransportError when it does not
   * end in time; the guest goes on with it, and does the next one after it.
   */
  run(command: string, { timeoutMs = 60_000 }: { timeoutMs?: number } = {}): Promise<CommandResult> {
    const result = this.#last.then(() => {
      if (this.#closed !== undefined) throw this.#closed;
      return this.#run(command, timeoutMs);
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Ends all commands. */
  close(reason: string): void {
    this.#closed = new StateError(reason);
    this.#abort?.(this.#closed);
  }

  #run(command: string, timeoutMs: number): Promise<CommandResult> {
    const id = randomBytes(6).toString('hex');
    return new Promise((resolve, reject) => {
      const decoder = new TextDecoder();
      let text = '';
      const end = (action: () => void): void => {
        clearTimeout(timer);
        stopListening();
        this.#abort = undefined;
        action();
      };
      const stopListening = this.#line.onData((bytes) => {
        const searched = Math.max(0, text.length - LONGEST_MARK);
        text += decoder.decode(bytes, { stream: true });
        const result = readAnswer(text, id, searched);
        if (result !== undefined) end(() => resolve(result));
      });
      const timer = setTimeout(() => {
        const came = text === '' ? '' : `; it sent:\n${text.slice(-1000)}`;
        end(() => reject(new TransportError(`\`${command}\` did not end within ${timeoutMs} ms${came}`)));
      }, timeoutMs);
      this.#abort = (error) => end(() => reject(error));
      this.#line.send(`${id} ${Buffer.from(command).toString('base64')}\n`);
    });
  }
}

/** The answer to request `id`, once it is complete. The end mark is not before `searched`. */
export function readAnswer(text: string, id: string, searched = 0): CommandResult | undefined {
  const endMark = `${RS}${id}=`;
  const end = text.indexOf(endMark, searched);
  const after = end < 0 ? -1 : text.indexOf(RS, end + endMark.length);
  if (after < 0) return undefined;
  const startMark = `${RS}${id}+${RS}`;
  const start = text.indexOf(startMark);
  const output = start < 0 ? '' : text.slice(start + startMark.length, end);
  return { output, exitCode: Number(text.slice(end + endMark.length, after)) };
}
