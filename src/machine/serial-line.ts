import { StateError, TransportError } from '../spec/fault.ts';

/** How much received text is kept for `waitFor`, in characters. */
const KEPT = 256 * 1024;

interface Waiter {
  readonly pattern: string | RegExp;
  resolve(match: string): void;
  reject(error: Error): void;
}

/**
 * One serial port of the guest. What comes is kept until a `waitFor` has read past it.
 */
export class SerialLine {
  readonly #transmit: (bytes: Uint8Array) => void;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();
  readonly #waiters: Waiter[] = [];
  readonly #decoder = new TextDecoder();
  #received: number[] = [];
  #text = '';

  constructor(transmit: (bytes: Uint8Array) => void) {
    this.#transmit = transmit;
  }

  /** Text as UTF-8, as if typed: a line ends with "\n". */
  send(data: string | Uint8Array): void {
    this.#transmit(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  }

  /** Calls `listener` with what the guest sends from now on; the result ends that. */
  onData(listener: (bytes: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves to the first text that matches in what was received and not yet waited for; later calls see what follows it.
   * Rejects with TransportError, and the last lines that came, when it does not come in time.
   */
  waitFor(pattern: string | RegExp, { timeoutMs = 60_000 }: { timeoutMs?: number } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
      };
      const waiter: Waiter = {
        pattern,
        resolve: (match) => {
          end();
          resolve(match);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        waiter.reject(new TransportError(`the guest did not send ${pattern} within ${timeoutMs} ms${this.#tail()}`));
      }, timeoutMs);
      this.#waiters.push(waiter);
      this.#match();
    });
  }

  /** A byte from the guest. Listeners get it with its neighbours once the guest's slice of time has ended. */
  receive(byte: number): void {
    if (this.#received.push(byte) === 1) queueMicrotask(() => this.#deliver());
  }

  /** Ends all waiting. */
  close(reason: string): void {
    for (const waiter of [...this.#waiters]) waiter.reject(new StateError(reason));
  }

  #deliver(): void {
    const bytes = Uint8Array.from(this.#received);
    this.#received = [];
    for (const listener of [...this.#listeners]) listener(bytes);
    this.#text += this.#decoder.decode(bytes, { stream: true });
    this.#match();
    if (this.#text.length > KEPT) this.#text = this.#text.slice(-KEPT);
  }

  /** Waiters are served in their order, each from where the one before has read to. */
  #match(): void {
    for (let waiter = this.#waiters[0]; waiter !== undefined; waiter = this.#waiters[0]) {
      const { pattern } = waiter;
      const match = typeof pattern === 'string' ? pattern : pattern.exec(this.#text)?.[0];
      const at = match === undefined ? -1 : this.#text.indexOf(match);
      if (match === undefined || at < 0) return;
      this.#text = this.#text.slice(at + match.length);
      waiter.resolve(match);
    }
  }

  #tail(): string {
    const lines = this.#text.split('\n').filter((line) => line.trim() !== '');
    return lines.length === 0 ? ' (it sent nothing)' : `; it sent:\n  ${lines.slice(-12).join('\n  ')}`;
  }
}
