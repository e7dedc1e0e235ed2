import { ProtocolError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import type { UnixSocket } from '../../unix/socket.ts';
import type { Answer, FrontEnd } from './front-end.ts';
import { type Message, MessageReader, send, u64 } from './message-reader.ts';
import { HeaderFlag } from './messages.ts';

/** What a session needs of its server. */
export interface SessionHooks {
  /** A message is in hand that is answered later: until then no other is to be read. */
  waiting(waiting: boolean): void;
  /** The session cannot go on, found out of its turn: it is to be ended soon, but not within this call. */
  broken(error: Error): void;
  /** A message was not obeyed, and the front-end was told so. */
  rejected(message: string, reason: Error): void;
}

/**
 * The connection of one front-end: takes its messages in order, and answers them. A message that makes no sense is answered
 * with an error where the front-end asked for an answer, else it ends the session: the front-end would go on as if it had been
 * obeyed.
 */
export class Session {
  readonly #socket: UnixSocket;
  readonly #reader: MessageReader;
  readonly #frontEnd: FrontEnd;
  readonly #hooks: SessionHooks;
  /** A message that is answered later. */
  #inHand: Message | undefined;
  #closed = false;
  #broken: Error | undefined;

  constructor(socket: UnixSocket, frontEnd: FrontEnd, hooks: SessionHooks) {
    this.#socket = socket;
    this.#reader = new MessageReader(socket);
    this.#frontEnd = frontEnd;
    this.#hooks = hooks;
  }

  get fd(): number {
    return this.#socket.fd;
  }

  /** The front-end has closed the connection, whatever of it was not read yet. */
  get isAbandoned(): boolean {
    return this.#socket.isAbandoned;
  }

  /** Takes what the front-end has sent. False when it has ended the connection; throws when the session cannot go on. */
  serve(): boolean {
    while (this.#inHand === undefined) {
      if (this.#broken !== undefined) throw this.#broken;
      const message = this.#reader.next();
      if (message === undefined) return true;
      if (message === 'end') return false;
      this.#handle(message);
    }
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#frontEnd.close();
    for (const fd of this.#inHand?.fds.splice(0) ?? []) closeFd(fd);
    this.#reader.close();
    this.#socket.close();
  }

  #handle(message: Message): void {
    let isHandling = true;
    let given: Answer | undefined;
    // What is answered at once is sent when all is done: something may still turn out not to be possible.
    const later = () => (answer: Answer) => {
      if (isHandling) given = answer;
      else this.#answerLater(message, answer);
    };
    let answer: Answer | 'later';
    try {
      answer = this.#frontEnd.handle(message, later);
      if (answer === 'later' && given !== undefined) answer = given;
    } catch (error) {
      answer = error as Error;
    }
    isHandling = false;
    if (answer !== 'later') this.#answer(message, answer);
    else {
      this.#inHand = message;
      this.#hooks.waiting(true);
    }
  }

  #answer(message: Message, answer: Answer): void {
    for (const fd of message.fds.splice(0)) closeFd(fd);
    const asked = message.needsReply && this.#frontEnd.acknowledges;
    if (answer instanceof Error) {
      if (!asked || !(answer instanceof ProtocolError)) throw answer;
      this.#hooks.rejected(message.shape.name, answer);
    }
    if (answer instanceof Uint8Array) this.#reply(message, answer, []);
    else if (answer instanceof Error || answer === 'done') {
      if (asked) this.#reply(message, u64(answer === 'done' ? 0n : 1n), []);
    } else {
      try {
        this.#reply(message, answer.payload, [answer.fd]);
      } finally {
        closeFd(answer.fd);
      }
    }
  }

  #reply(message: Message, payload: Uint8Array, fds: readonly number[]): void {
    send(this.#socket, message.shape.request, HeaderFlag.REPLY, payload, fds);
  }

  #answerLater(message: Message, answer: Answer): void {
    if (this.#closed) return;
    this.#inHand = undefined;
    this.#hooks.waiting(false);
    try {
      this.#answer(message, answer);
    } catch (error) {
      this.#broken = error as Error;
      this.#hooks.broken(this.#broken);
    }
  }
}
