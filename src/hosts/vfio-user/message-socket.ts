import { TransportError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import { whenReadable, whenWritable } from '../../unix/poller.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { header, type MessageHeader, MOST_FDS, MOST_MESSAGE_BYTES } from './messages.ts';

/** One message as it came. `body` is good until the handler is done; descriptors that it leaves in `fds` are closed then. */
export interface Message {
  readonly header: MessageHeader;
  readonly body: Uint8Array;
  readonly fds: number[];
}

export interface MessageHandlers {
  /** The next message; the one after it comes when this one is done. Does not throw. */
  message(message: Message): void | Promise<void>;
  /** The connection has ended; `error` says why, if the other side did not just close it. Called once. */
  ended(error: Error | undefined): void;
}

/** Messages that are handled before others on the event loop have their turn. */
const MESSAGES_PER_TURN = 64;
/** Enough for all messages but those that carry a lot of data. */
const FIRST_BODY_BYTES = 4096;

/**
 * A connection as whole messages, in order and one by one, on the event loop; nothing waits for the other side. Nothing is read
 * while an answer has not gone out, so that a side which does not read cannot make this one keep more and more.
 */
export class MessageSocket {
  readonly #socket: UnixSocket;
  readonly #handlers: MessageHandlers;
  readonly #head = new Uint8Array(header.bytes);
  readonly #headView = new DataView(this.#head.buffer);
  #body = new Uint8Array(FIRST_BODY_BYTES);
  /** How much of head and body has come, and the descriptors with it. */
  #received = 0;
  readonly #fds: number[] = [];
  /** What did not go out yet, the first piece in part. Descriptors go with the first byte. */
  readonly #unsent: { readonly bytes: Uint8Array; readonly fds: readonly number[] }[] = [];
  #poll: { close(): void } | undefined;
  #waitingFor: 'room' | 'message' | undefined;
  #handling = false;
  #closed = false;

  /** Takes the socket over. */
  constructor(socket: UnixSocket, handlers: MessageHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#wait();
  }

  /** Sends a message, now or as soon as the other side takes it. Copies of `fds` go along; they stay open until it has gone out. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (this.#closed) return;
    this.#unsent.push({ bytes, fds });
    if (this.#unsent.length === 1) this.#flush();
  }

  /** Looks what has come, before the event loop does. */
  look(): void {
    if (this.#waitingFor === 'message') this.#readable();
  }

  /** Ends the connection without a call of `ended`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wait();
    this.#dropFds();
    this.#socket.close();
  }

  /** Waits for what is next: room for what is unsent, else more to read, if nobody is busy with a message. */
  #wait(): void {
    const next = this.#closed ? undefined : this.#unsent.length > 0 ? 'room' : this.#handling ? undefined : 'message';
    if (next === this.#waitingFor) return;
    this.#poll?.close();
    this.#poll = undefined;
    this.#waitingFor = next;
    if (next === 'room') this.#poll = whenWritable(this.#socket.fd, () => this.#flush());
    if (next === 'message') this.#poll = whenReadable(this.#socket.fd, () => this.#readable());
  }

  #flush(): void {
    try {
      for (let first = this.#unsent[0]; first !== undefined; first = this.#unsent[0]) {
        const sent = this.#socket.send(first.bytes, first.fds);
        if (sent === 0) break;
        if (sent === first.bytes.length) this.#unsent.shift();
        else this.#unsent[0] = { bytes: first.bytes.subarray(sent), fds: [] };
      }
    } catch (error) {
      this.#end(error as Error);
      return;
    }
    this.#wait();
  }

  #readable(): void {
    try {
      for (let n = 0; n < MESSAGES_PER_TURN && !this.#closed; n++) {
        const message = this.#receive();
        if (message === undefined) return;
        const done = this.#handlers.message(message);
        if (done !== undefined) {
          this.#handleLater(done);
          return;
        }
        this.#dropFds();
        // The poll is for room now; reading goes on from there.
        if (this.#unsent.length > 0) return;
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #handleLater(done: Promise<void>): void {
    this.#handling = true;
    this.#wait();
    void done.then(() => {
      this.#handling = false;
      this.#dropFds();
      this.#wait();
    });
  }

  /** The next message, if all of it has come. Throws TransportError when it is none. */
  #receive(): Message | undefined {
    while (this.#received < header.bytes) {
      if (!this.#receiveInto(this.#head.subarray(this.#received))) return undefined;
    }
    const head = header.read(this.#headView);
    if (head.size < header.bytes || head.size > MOST_MESSAGE_BYTES) {
      throw new TransportError(`the other side of vfio-user sent a message that says to have ${head.size} bytes`);
    }
    const length = head.size - header.bytes;
    if (length > this.#body.length) this.#body = new Uint8Array(length);
    while (this.#received < head.size) {
      if (!this.#receiveInto(this.#body.subarray(this.#received - header.bytes, length))) return undefined;
    }
    this.#received = 0;
    return { header: head, body: this.#body.subarray(0, length), fds: this.#fds };
  }

  /** False when nothing has come yet, or the connection has ended. */
  #receiveInto(bytes: Uint8Array): boolean {
    const result = this.#socket.receive(bytes);
    if (result === undefined) return false;
    this.#fds.push(...result.fds);
    if (this.#fds.length > MOST_FDS)
      throw new TransportError('a vfio-user message has more descriptors than are taken');
    this.#received += result.count;
    if (result.count > 0) return true;
    this.#end(this.#received > 0 ? new TransportError('vfio-user ended within a message') : undefined);
    return false;
  }

  #end(error: Error | undefined): void {
    if (this.#closed) return;
    this.close();
    this.#handlers.ended(error);
  }

  #dropFds(): void {
    for (const fd of this.#fds.splice(0)) closeFd(fd);
  }
}
