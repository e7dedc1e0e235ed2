import { connect, type Socket } from 'node:net';
import { TransportError } from '../../spec/fault.ts';
import type { NbdAddress } from './uri.ts';

/** What is kept of a server that says more than is read; less makes reads of 64 KiB slower (measured). */
const BUFFER_BYTES = 1 << 20;

/** A connection to a server, read in pieces of known lengths. */
export class ByteStream {
  readonly #socket: Socket;
  /** For messages. */
  readonly #server: string;
  #error: Error | undefined;
  #hasEnded = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket, server: string) {
    this.#socket = socket;
    this.#server = server;
    const wake = (): void => this.#wake?.();
    const end = (): void => {
      this.#hasEnded = true;
      wake();
    };
    socket.on('readable', wake).on('end', end).on('close', end);
    socket.on('error', (error) => {
      this.#error ??= this.#failure(error.message, error);
      end();
    });
  }

  /** Starts to connect: the first `read` says whether that has come to something. */
  static connect({ at, text }: NbdAddress): ByteStream {
    // Node takes what all streams take; its types do not say so.
    const buffers = { readableHighWaterMark: BUFFER_BYTES };
    const socket = connect({ ...at, noDelay: true, ...buffers });
    return new ByteStream(socket, text);
  }

  /** Exactly `length` bytes, which become the caller's. One call at a time. Throws TransportError when they do not come. */
  async read(length: number): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = this.#error === undefined ? (this.#socket.read(length) as Buffer | null) : null;
      if (bytes?.length === length) return bytes;
      if (this.#hasEnded || bytes !== null) throw this.#error ?? this.#failure('it ended the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Bytes that are sent later if need be: they must not change any more. */
  write(...parts: readonly Uint8Array[]): void {
    // What is sent within one turn goes in one call of the system.
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    for (const part of parts) this.#socket.write(part);
  }

  /** Breaks the connection when nothing goes in either direction for that long; 0 waits for ever. */
  limitSilence(limitMs: number): void {
    this.#socket.setTimeout(limitMs);
    if (this.#socket.listenerCount('timeout') > 0) return;
    this.#socket.on('timeout', () => this.destroy(this.#failure(`it was silent for ${this.#socket.timeout} ms`)));
  }

  /** Ends the connection once all is sent. */
  end(): void {
    this.#socket.end();
    this.#socket.unref();
  }

  /** Ends it at once; whoever reads gets `error`. */
  destroy(error: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
    this.#wake?.();
  }

  #failure(what: string, cause?: Error): TransportError {
    return new TransportError(`NBD server ${this.#server}: ${what}`, { cause });
  }
}
