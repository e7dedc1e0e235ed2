import { ProtocolError, TransportError } from '../../spec/fault.ts';
import { whenReadable } from '../../unix/poller.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { type BackEndFrame, BackEndFrames } from './back-end-frames.ts';
import { frame } from './message-reader.ts';
import { HeaderFlag, type RequestName, requestOf } from './messages.ts';

interface Pending {
  readonly name: RequestName;
  readonly request: number;
  /** When it has to be answered. */
  readonly due: number;
  readonly resolve: (payload: DataView) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A front-end's end of a connection: sends messages, and hands out the replies, which come in the order of the messages. It never
 * waits for the back-end: one that does not answer in time, does not read, or says what makes no sense is given up.
 */
export class DriverConnection {
  /** Called once when the connection has ended. */
  onLost: ((error: Error) => void) | undefined;
  readonly #socket: UnixSocket;
  readonly #replyLimitMs: number;
  readonly #watch: { close(): void };
  readonly #frames: BackEndFrames;
  readonly #pending: Pending[] = [];
  /** One timer for all: it looks at the oldest question. */
  #timer: NodeJS.Timeout | undefined;
  #ended: Error | undefined;

  /** Takes over the socket. */
  constructor(socket: UnixSocket, replyLimitMs: number) {
    this.#socket = socket;
    this.#replyLimitMs = replyLimitMs;
    this.#frames = new BackEndFrames(socket);
    this.#watch = whenReadable(socket.fd, () => this.#receive());
  }

  /** Sends a message that has no reply. */
  send(name: RequestName, payload: Uint8Array = NOTHING, fds: readonly number[] = []): void {
    this.#send(name, 0, payload, fds);
  }

  /** Sends a message and waits for its reply. With NEED_REPLY in `flags` any message has one. Rejects with TransportError. */
  ask(
    name: RequestName,
    payload: Uint8Array = NOTHING,
    { fds = [], flags = 0 }: { readonly fds?: readonly number[]; readonly flags?: number } = {},
  ): Promise<DataView> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new TransportError(`${name}: ${this.#ended.message}`, { cause: this.#ended }));
        return;
      }
      const due = performance.now() + this.#replyLimitMs;
      this.#pending.push({ name, request: requestOf(name), due, resolve, reject });
      this.#timer ??= setTimeout(this.#onTime, this.#replyLimitMs);
      this.#send(name, flags, payload, fds);
    });
  }

  /** As `ask`, for a reply of one u64. */
  async askU64(name: RequestName, payload?: Uint8Array, fds: readonly number[] = []): Promise<bigint> {
    const reply = await this.ask(name, payload, { fds });
    if (reply.byteLength === 8) return reply.getBigUint64(0, true);
    throw this.#giveUp(
      new ProtocolError('vhost.backend.reply.size', `a reply of ${reply.byteLength} bytes to ${name}`),
    );
  }

  /** Sends a message and waits until it was obeyed; rejects with TransportError when it was not. Needs REPLY_ACK. */
  async order(name: RequestName, payload: Uint8Array, fds: readonly number[] = []): Promise<void> {
    const reply = await this.ask(name, payload, { fds, flags: HeaderFlag.NEED_REPLY });
    if (reply.byteLength !== 8 || reply.getBigUint64(0, true) !== 0n) {
      throw new TransportError(`the back-end did not obey ${name}`);
    }
  }

  /** Ends the connection for what was found elsewhere; `onLost` is called. */
  fail(error: Error): void {
    this.#end(error);
  }

  close(): void {
    this.#end(new TransportError('the connection to the back-end was closed'));
  }

  #send(name: RequestName, flags: number, payload: Uint8Array, fds: readonly number[]): void {
    if (this.#ended !== undefined) return;
    try {
      const bytes = frame(requestOf(name), flags, payload);
      if (this.#socket.send(bytes, fds) < bytes.length) {
        throw new TransportError('the back-end does not read what it is sent');
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #receive(): void {
    try {
      if (this.#frames.receive((reply) => this.#reply(reply))) return;
      throw new TransportError('the back-end has ended the connection');
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #reply({ request, flags, payload }: BackEndFrame): void {
    const [pending] = this.#pending;
    if (pending?.request !== request) {
      throw new ProtocolError('vhost.backend.reply.order', `a reply to message ${request}, which was not asked`);
    }
    if ((flags & HeaderFlag.REPLY) === 0) {
      throw new ProtocolError('vhost.backend.message.flags', `a reply to ${pending.name} that does not say it is one`);
    }
    this.#pending.shift();
    pending.resolve(payload);
  }

  readonly #onTime = (): void => {
    this.#timer = undefined;
    // It may be this thread that was busy all the time.
    this.#receive();
    const [first] = this.#pending;
    if (this.#ended !== undefined || first === undefined) return;
    const leftMs = first.due - performance.now();
    if (leftMs > 0) this.#timer = setTimeout(this.#onTime, Math.ceil(leftMs));
    else this.#end(new TransportError(`the back-end has not answered ${first.name} for ${this.#replyLimitMs} ms`));
  };

  /** The same error, to be thrown. */
  #giveUp(error: Error): Error {
    this.#end(error);
    return new TransportError(error.message, { cause: error });
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    this.#watch.close();
    this.#socket.close();
    for (const { name, reject } of this.#pending.splice(0)) {
      reject(new TransportError(`${name}: ${error.message}`, { cause: error }));
    }
    this.onLost?.(error);
  }
}

const NOTHING = new Uint8Array(0);
