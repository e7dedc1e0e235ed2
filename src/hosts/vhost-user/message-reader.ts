import { ProtocolError, TransportError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { HEADER_BYTES, Header, HeaderFlag, type MessageShape, MOST_PAYLOAD_BYTES, messageShapes } from './messages.ts';

/** A message from a front-end, of the shape that its request has. */
export interface Message {
  readonly shape: MessageShape;
  /** The front-end waits to be told whether it could be done. */
  readonly needsReply: boolean;
  /** Its own copy. */
  readonly payload: DataView;
  /** Descriptors that came with it. Whoever keeps one takes it out; the others are closed when the message was handled. */
  readonly fds: number[];
}

/**
 * Puts messages together from what a socket has, without ever waiting for the rest of one. A message that makes no sense
 * throws ProtocolError: where the next one begins is not known then.
 */
export class MessageReader {
  readonly #socket: UnixSocket;
  readonly #bytes = new Uint8Array(HEADER_BYTES + MOST_PAYLOAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #fds: number[] = [];
  #filled = 0;

  constructor(socket: UnixSocket) {
    this.#socket = socket;
  }

  /** The next message; undefined when it is not there yet, `end` when the front-end has ended the connection. */
  next(): Message | 'end' | undefined {
    for (;;) {
      // The header alone first: descriptors come with it, and what comes with later bytes belongs to the next message.
      const due = this.#filled < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + this.#payloadBytes();
      if (this.#filled === due) return this.#message(due);
      const received = this.#socket.receive(this.#bytes.subarray(this.#filled, due));
      if (received === undefined) return undefined;
      if (received.count === 0) return 'end';
      this.#fds.push(...received.fds);
      this.#filled += received.count;
      if (this.#filled === HEADER_BYTES && this.#payloadBytes() === 0) return this.#message(HEADER_BYTES);
    }
  }

  /** Closes the descriptors of a message that did not come to its end. */
  close(): void {
    for (const fd of this.#fds.splice(0)) closeFd(fd);
  }

  #payloadBytes(): number {
    const bytes = this.#view.getUint32(Header.SIZE, true);
    if (bytes <= MOST_PAYLOAD_BYTES) return bytes;
    throw new ProtocolError('vhost.frontend.message.size', `a message of ${bytes} bytes`);
  }

  #message(end: number): Message {
    const request = this.#view.getUint32(Header.REQUEST, true);
    const flags = this.#view.getUint32(Header.FLAGS, true);
    const bytes = end - HEADER_BYTES;
    if ((flags & HeaderFlag.VERSION_MASK) !== HeaderFlag.VERSION || (flags & HeaderFlag.REPLY) !== 0) {
      throw new ProtocolError('vhost.frontend.message.flags', `a message with flags 0x${flags.toString(16)}`);
    }
    const shape = messageShapes.get(request);
    if (shape === undefined)
      throw new ProtocolError('vhost.frontend.message.known', `message ${request} is not known here`);
    if (bytes < shape.least || bytes > shape.most) {
      throw new ProtocolError('vhost.frontend.message.size', `${shape.name} with ${bytes} bytes of payload`);
    }
    if (this.#fds.length > shape.fds) {
      throw new ProtocolError('vhost.frontend.message.fds', `${shape.name} with ${this.#fds.length} descriptors`);
    }
    const fds = this.#fds;
    this.#fds = [];
    this.#filled = 0;
    const needsReply = (flags & HeaderFlag.NEED_REPLY) !== 0;
    const payload = bytes === 0 ? EMPTY : new DataView(this.#bytes.slice(HEADER_BYTES, end).buffer);
    return { shape, needsReply, payload, fds };
  }
}

const EMPTY = new DataView(new ArrayBuffer(0));
const framed = new Uint8Array(HEADER_BYTES + MOST_PAYLOAD_BYTES);
const framedView = new DataView(framed.buffer);

/** A message as it is sent, good until the next call: sockets copy what they are given. */
export function frame(request: number, flags: number, payload: Uint8Array): Uint8Array {
  framedView.setUint32(Header.REQUEST, request, true);
  framedView.setUint32(Header.FLAGS, HeaderFlag.VERSION | flags, true);
  framedView.setUint32(Header.SIZE, payload.length, true);
  framed.set(payload, HEADER_BYTES);
  return framed.subarray(0, HEADER_BYTES + payload.length);
}

/**
 * Sends a message of this end's: a reply to `request`, or one of its own. Throws TransportError when it does not go at once: the
 * front-end does not read what it is sent.
 */
export function send(
  socket: UnixSocket,
  request: number,
  flags: number,
  payload: Uint8Array,
  fds: readonly number[] = [],
): void {
  const bytes = frame(request, flags, payload);
  if (socket.send(bytes, fds) < bytes.length) throw new TransportError('the front-end does not read what it is sent');
}

/** A payload of one u64. */
export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

/** A payload of two u32. */
export function vringState(index: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index, true);
  view.setUint32(4, value, true);
  return bytes;
}
