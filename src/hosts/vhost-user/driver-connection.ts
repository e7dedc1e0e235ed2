import { ProtocolError, TransportError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import { whenReadable } from '../../unix/poller.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { frame } from './message-reader.ts';
import { HEADER_BYTES, Header, HeaderFlag, MOST_PAYLOAD_BYTES, type RequestName, requestOf } from './messages.ts';

interface Pending {
  readonly name: RequestName;
  readonly request: number;
  readonly resolve: (payload: DataView) => void;
  readonly reject: (error: Error) => void;
}

/** A front-end's end of a connection: sends messages, and hands out the replies, which come in the order of the messages. */
export class DriverConnection {
  /** Called once when the connection has ended. */
  onLost: ((error: Error) => void) | undefined;
  readonly #socket: UnixSocket;
  readonly #watch: { close(): void };
  readonly #bytes = new Uint8Array(HEADER_BYTES + MOST_PAYLOAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #pending: Pending[] = [];
  #filled = 0;
  #ended: Error | undefined;

  constructor(socket: UnixSocket) {
    this.#socket = socket;
    this.#watch = whenReadable(socket.fd, () => this.#receive());
  }

  /** Sends a message that has no reply. */
  send(name: RequestName, payload: Uint8Array = NOTHING, fds: readonly number[] = []): void {
    this.#send(name, 0, payload, fds);
  }

  /** Sends a message and waits for its reply. With NEED_REPLY in `flags` any message has one. */
  ask(
    name: RequestName,
    payload: Uint8Array = NOTHING,
    { fds = [], flags = 0 }: { readonly fds?: readonly number[]; readonly flags?: number } = {},
  ): Promise<DataView> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#pending.push({ name, request: requestOf(name), resolve, reject });
      this.#send(name, flags, payload, fds);
    });
  }

  /** Sends a message and waits until it was obeyed; rejects with TransportError when it was not. Needs REPLY_ACK. */
  async order(name: RequestName, payload: Uint8Array, fds: readonly number[] = []): Promise<void> {
    const reply = await this.ask(name, payload, { fds, flags: HeaderFlag.NEED_REPLY });
    if (reply.byteLength !== 8 || reply.getBigUint64(0, true) !== 0n) {
      throw new TransportError(`the back-end did not obey ${name}`);
    }
  }

  close(): void {
    this.#end(new TransportError('the connection to the back-end was closed'));
  }

  #send(name: RequestName, flags: number, payload: Uint8Array, fds: readonly number[]): void {
    try {
      if (this.#ended === undefined) this.#socket.send(frame(requestOf(name), flags, payload), fds);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** One call for all that has come: whoever waits for a status is told a few microseconds earlier. */
  #receive(): void {
    try {
      const received = this.#socket.receiveNow(this.#bytes.subarray(this.#filled));
      if (received === undefined) return;
      received.fds.forEach(closeFd);
      if (received.count === 0) throw new TransportError('the back-end has ended the connection');
      this.#filled += received.count;
      this.#handOut();
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** All replies that are complete. There is room for the rest of one that is not. */
  #handOut(): void {
    let start = 0;
    while (this.#filled - start >= HEADER_BYTES) {
      const size = this.#view.getUint32(start + Header.SIZE, true);
      if (size > MOST_PAYLOAD_BYTES) throw new ProtocolError('vhost.backend.reply.size', `a reply of ${size} bytes`);
      const end = start + HEADER_BYTES + size;
      if (end > this.#filled) break;
      this.#reply(start, end);
      start = end;
    }
    this.#bytes.copyWithin(0, start, this.#filled);
    this.#filled -= start;
  }

  #reply(start: number, end: number): void {
    const request = this.#view.getUint32(start + Header.REQUEST, true);
    const pending = this.#pending.shift();
    if (pending === undefined || pending.request !== request) {
      throw new ProtocolError('vhost.backend.reply.order', `a reply to message ${request}, which was not asked`);
    }
    pending.resolve(new DataView(this.#bytes.slice(start + HEADER_BYTES, end).buffer));
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#watch.close();
    this.#socket.close();
    for (const { name, reject } of this.#pending.splice(0)) reject(new TransportError(`${name}: ${error.message}`));
    this.onLost?.(error);
  }
}

const NOTHING = new Uint8Array(0);
