import { TransportError } from '../../spec/fault.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import { type Message, MessageSocket } from './message-socket.ts';
import {
  type CommandName,
  commands,
  decode,
  encodeRequest,
  MessageFlag,
  type Reply,
  type Request,
} from './messages.ts';

export interface RequestOptions {
  readonly data?: Uint8Array;
  /** Stay open until the reply is there. */
  readonly fds?: readonly number[];
}

const REPLY_LIMIT_MS = 10_000;

interface Pending {
  readonly name: CommandName;
  /** When it has to be answered. */
  readonly due: number;
  readonly resolve: (reply: { fields: Reply<CommandName>; data: Uint8Array }) => void;
  readonly reject: (error: TransportError) => void;
}

/** The client's end of a connection: requests go out in the order of the calls, and each is answered by its number. */
export class RequestSocket {
  /** The connection has ended, from whichever side. */
  onEnded: ((error: Error) => void) | undefined;
  readonly #socket: MessageSocket;
  readonly #pending = new Map<number, Pending>();
  readonly #replyLimitMs: number;
  /** One timer for all: it looks at the oldest request. */
  #timer: NodeJS.Timeout | undefined;
  #next = 0;
  #ended: string | undefined;

  /** Takes the socket over. A server that does not answer a request within `replyLimitMs` is given up. */
  constructor(socket: UnixSocket, replyLimitMs: number = REPLY_LIMIT_MS) {
    this.#replyLimitMs = replyLimitMs;
    this.#socket = new MessageSocket(socket, {
      message: (message) => this.#answered(message),
      ended: (error) => this.#end(error?.message ?? 'the server has closed the connection'),
    });
  }

  /** Rejects with TransportError when the server refuses it, or the connection has ended. */
  request<Name extends CommandName>(
    name: Name,
    fields: Request<Name>,
    { data, fds }: RequestOptions = {},
  ): Promise<{ readonly fields: Reply<Name>; readonly data: Uint8Array }> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new TransportError(`${name} was not sent: ${this.#ended}`));
        return;
      }
      const id = this.#number();
      const due = performance.now() + this.#replyLimitMs;
      this.#pending.set(id, { name, due, resolve: resolve as Pending['resolve'], reject });
      this.#timer ??= setTimeout(this.#onTime, this.#replyLimitMs);
      this.#socket.send(encodeRequest(id, name, fields, data === undefined ? {} : { data }), fds);
    });
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** A request whose reply is not wanted. Rejects with TransportError when the connection has ended. */
  post<Name extends CommandName>(name: Name, fields: Request<Name>, data?: Uint8Array): void | Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(new TransportError(`${name} was not sent: ${this.#ended}`));
    const flags = MessageFlag.NO_REPLY;
    this.#socket.send(encodeRequest(this.#number(), name, fields, data === undefined ? { flags } : { data, flags }));
  }

  close(): void {
    this.#socket.close();
    this.#end('the client has closed the connection');
  }

  /** A number that no request has that is still to be answered. */
  #number(): number {
    do this.#next = (this.#next + 1) & 0xffff;
    while (this.#pending.has(this.#next));
    return this.#next;
  }

  #answered({ header: { id, code, flags, error }, body }: Message): void {
    const pending = this.#pending.get(id);
    // What a server asks of its client, it does not get: no command is supported in this direction.
    if (pending === undefined || (flags & MessageFlag.TYPE) !== MessageFlag.REPLY) return;
    const { name, resolve, reject } = pending;
    this.#pending.delete(id);
    if ((flags & MessageFlag.ERROR) !== 0) {
      reject(new TransportError(`the vfio-user server refused ${name}: error ${error}`));
      return;
    }
    const decoded = code === commands[name].code ? decode(commands[name].reply, body) : undefined;
    if (decoded === undefined) reject(new TransportError(`the vfio-user server answered ${name} with something else`));
    else resolve({ fields: decoded.values, data: decoded.data.slice() });
  }

  readonly #onTime = (): void => {
    this.#timer = undefined;
    // It may be this thread that was busy all the time.
    this.#socket.look();
    const [first] = this.#pending.values();
    if (this.#ended !== undefined || first === undefined) return;
    const leftMs = first.due - performance.now();
    if (leftMs > 0) {
      this.#timer = setTimeout(this.#onTime, Math.ceil(leftMs));
      return;
    }
    this.#socket.close();
    this.#end(`the server has not answered ${first.name} for ${this.#replyLimitMs} ms`);
  };

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    clearTimeout(this.#timer);
    for (const { name, reject } of this.#pending.values()) {
      reject(new TransportError(`${name} was not answered: ${reason}`));
    }
    this.#pending.clear();
    this.onEnded?.(new TransportError(`vfio-user: ${reason}`));
  }
}
