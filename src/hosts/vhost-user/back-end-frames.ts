import { ProtocolError, TransportError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { HEADER_BYTES, Header, HeaderFlag, MOST_PAYLOAD_BYTES } from './messages.ts';

/** One message of a back-end's: a reply, or something that it says by itself. The payload is its own copy. */
export interface BackEndFrame {
  readonly request: number;
  readonly flags: number;
  readonly payload: DataView;
}

/**
 * Puts together what a back-end sends, without ever waiting for the rest of a message: all that has come in one call, as whoever
 * waits for a status is told a few microseconds earlier then. No message of a back-end's has descriptors: those that come are
 * closed.
 */
export class BackEndFrames {
  readonly #socket: UnixSocket;
  readonly #bytes = new Uint8Array(HEADER_BYTES + MOST_PAYLOAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #filled = 0;

  constructor(socket: UnixSocket) {
    this.#socket = socket;
  }

  /** Hands out what has become complete. False at the end of the connection; throws ProtocolError for what is no message. */
  receive(handle: (frame: BackEndFrame) => void): boolean {
    const received = this.#socket.receive(this.#bytes.subarray(this.#filled));
    if (received === undefined) return true;
    received.fds.forEach(closeFd);
    if (received.count === 0 && this.#filled > 0) {
      throw new TransportError('the back-end has ended the connection within a message');
    }
    if (received.count === 0) return false;
    this.#filled += received.count;
    this.#handOut(handle);
    return true;
  }

  /** There is always room for the rest of a message that is not complete. */
  #handOut(handle: (frame: BackEndFrame) => void): void {
    let start = 0;
    while (this.#filled - start >= HEADER_BYTES) {
      const size = this.#view.getUint32(start + Header.SIZE, true);
      const flags = this.#view.getUint32(start + Header.FLAGS, true);
      if (size > MOST_PAYLOAD_BYTES)
        throw new ProtocolError('vhost.backend.message.size', `a message of ${size} bytes`);
      if ((flags & HeaderFlag.VERSION_MASK) !== HeaderFlag.VERSION) {
        throw new ProtocolError('vhost.backend.message.flags', `a message with flags 0x${flags.toString(16)}`);
      }
      const end = start + HEADER_BYTES + size;
      if (end > this.#filled) break;
      const request = this.#view.getUint32(start + Header.REQUEST, true);
      const payload = new DataView(this.#bytes.slice(start + HEADER_BYTES, end).buffer);
      start = end;
      handle({ request, flags, payload });
    }
    this.#bytes.copyWithin(0, start, this.#filled);
    this.#filled -= start;
  }
}
