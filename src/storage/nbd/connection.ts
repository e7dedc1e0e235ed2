import { TransportError } from '../../spec/fault.ts';
import { asError } from '../refusal.ts';
import { ByteStream } from './byte-stream.ts';
import { type NbdExport, negotiate } from './handshake.ts';
import {
  ChunkFlag,
  ChunkType,
  CommandType,
  ESHUTDOWN,
  Magic,
  REQUEST_BYTES,
  SIMPLE_REPLY_BYTES,
  STRUCTURED_REPLY_MORE_BYTES,
  serverErrors,
} from './layout.ts';
import { ReadCover } from './read-cover.ts';
import type { NbdAddress } from './uri.ts';
import { violation } from './violation.ts';

/** One request to a server. It may be sent again, to another connection, until it was answered. */
export interface NbdCommand {
  /** Grows with each command of a disk. */
  readonly sequence: number;
  readonly type: CommandType;
  readonly flags: number;
  readonly position: number;
  readonly length: number;
  /** Of a write; must not change. */
  readonly data?: Uint8Array;
  /** Of a read: bytes that came for `start` of it, perhaps not in order. Undefined `bytes` are zeroes. */
  onData?(start: number, bytes: Uint8Array | undefined, length: number): void;
  /** The server has done it, or has said why not. */
  onAnswer(error: Error | undefined): void;
  /** It is not going to be answered, and is not sent again. The server may have done it all the same. */
  onLost(error: Error): void;
}

interface Sent {
  readonly command: NbdCommand;
  readonly cover: ReadCover;
  error: Error | undefined;
}

/** The longest message that comes with an error. */
const MOST_ERROR_BYTES = 6 + 4096 + 8;

export interface ConnectionLimits {
  /** For connecting and agreeing. */
  readonly openMs: number;
  /** How long a server may be silent while it owes an answer. */
  readonly silenceMs: number;
}

/** A connection on which commands are in flight, answered in any order. */
export class NbdConnection {
  readonly export: NbdExport;
  readonly #server: string;
  readonly #stream: ByteStream;
  readonly #silenceMs: number;
  readonly #sent = new Map<number, Sent>();
  #onBroken: ((error: Error) => void) | undefined;
  #broken: Error | undefined;
  #cookies = 0;
  #isEnding = false;

  private constructor(stream: ByteStream, found: NbdExport, server: string, silenceMs: number) {
    this.#stream = stream;
    this.export = found;
    this.#server = server;
    this.#silenceMs = silenceMs;
    stream.limitSilence(0);
    void this.#receive();
  }

  /** Throws TransportError. */
  static async open(address: NbdAddress, { openMs, silenceMs }: ConnectionLimits): Promise<NbdConnection> {
    const server = address.text;
    const stream = ByteStream.connect(address);
    // A server that says one byte now and then is not silent, but does not come to an end either.
    const late = new TransportError(`NBD server ${server}: it was not ready within ${openMs} ms`);
    const timer = setTimeout(() => stream.destroy(late), openMs);
    try {
      return new NbdConnection(stream, await negotiate(stream, address.exportName, server), server, silenceMs);
    } catch (error) {
      stream.destroy(asError(error));
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  get inFlight(): number {
    return this.#sent.size;
  }

  /** Calls back once, when the connection has broken, at once if it has; then `take` what was not answered. */
  whenBroken(listener: (error: Error) => void): void {
    this.#onBroken = listener;
    if (this.#broken !== undefined) listener(this.#broken);
  }

  /** What is in flight, in the order in which it was sent. */
  take(): NbdCommand[] {
    const commands = [...this.#sent.values()].map(({ command }) => command);
    this.#sent.clear();
    return commands;
  }

  send(command: NbdCommand): void {
    const { type, flags, position, length, data } = command;
    const cookie = this.#cookies;
    this.#cookies = (cookie + 1) >>> 0;
    if (this.#sent.size === 0) this.#stream.limitSilence(this.#silenceMs);
    this.#sent.set(cookie, { command, cover: new ReadCover(length), error: undefined });
    const head = requestHead(type, flags, cookie, position, length);
    if (data === undefined) this.#stream.write(head);
    else this.#stream.write(head, data);
  }

  /** Says good-bye. Nothing is in flight. */
  end(): void {
    this.#isEnding = true;
    this.#stream.write(requestHead(CommandType.DISCONNECT, 0, 0, 0, 0));
    this.#stream.end();
  }

  /** Gives it up: it has broken then. */
  destroy(error: Error): void {
    this.#stream.destroy(error);
  }

  async #receive(): Promise<void> {
    try {
      for (;;) await this.#receiveReply();
    } catch (thrown) {
      const error = asError(thrown);
      this.#stream.destroy(error);
      this.#broken = error;
      if (!this.#isEnding) this.#onBroken?.(error);
    }
  }

  async #receiveReply(): Promise<void> {
    const head = await this.#stream.read(SIMPLE_REPLY_BYTES);
    const magic = head.readUInt32BE(0);
    const sent = this.#find(head);
    if (magic === Magic.STRUCTURED_REPLY && this.export.hasStructuredReplies) await this.#receiveChunk(head, sent);
    else if (magic === Magic.SIMPLE_REPLY) await this.#receiveSimple(head, sent);
    else throw violation(this.#server, `a reply begins with 0x${magic.toString(16)}`);
  }

  #find(head: Buffer): Sent {
    const sent = head.readUInt32BE(8) === 0 ? this.#sent.get(head.readUInt32BE(12)) : undefined;
    if (sent !== undefined) return sent;
    throw violation(
      this.#server,
      `a reply has the cookie 0x${head.toString('hex', 8)}, which no request in flight has`,
    );
  }

  async #receiveSimple(head: Buffer, sent: Sent): Promise<void> {
    const { command } = sent;
    const number = head.readUInt32BE(4);
    if (command.type === CommandType.READ && this.export.hasStructuredReplies) {
      throw violation(this.#server, 'it answers a read with a simple reply after it agreed to structured ones');
    }
    if (number === 0 && command.type === CommandType.READ) {
      command.onData?.(0, await this.#stream.read(command.length), command.length);
    }
    this.#answer(head, number === 0 ? undefined : this.#error(command, number));
  }

  async #receiveChunk(head: Buffer, sent: Sent): Promise<void> {
    const flags = head.readUInt16BE(4);
    const type = head.readUInt16BE(6);
    const length = (await this.#stream.read(STRUCTURED_REPLY_MORE_BYTES)).readUInt32BE(0);
    const { command, cover } = sent;
    const isRead = command.type === CommandType.READ;
    if (type >= ChunkType.ERROR) sent.error ??= await this.#receiveError(command, length);
    else if (isRead && type === ChunkType.OFFSET_DATA) await this.#receiveData(sent, length);
    else if (isRead && type === ChunkType.OFFSET_HOLE) await this.#receiveHole(sent, length);
    else if (type !== ChunkType.NONE || length !== 0 || (flags & ChunkFlag.DONE) === 0) {
      throw violation(
        this.#server,
        `a chunk of type ${type} with ${length} bytes answers a command of type ${command.type}`,
      );
    }
    if ((flags & ChunkFlag.DONE) === 0) return;
    if (isRead && sent.error === undefined && !cover.isWhole) {
      throw violation(this.#server, `a read of ${command.length} bytes is answered with parts that are not all of it`);
    }
    this.#answer(head, sent.error);
  }

  async #receiveData({ command, cover }: Sent, length: number): Promise<void> {
    if (length <= 8 || length > 8 + command.length) {
      throw violation(this.#server, `a chunk of ${length} bytes is data of a read of ${command.length}`);
    }
    const offset = (await this.#stream.read(8)).readBigUInt64BE(0);
    const start = this.#start(command, offset, length - 8);
    this.#cover(cover, start, length - 8);
    command.onData?.(start, await this.#stream.read(length - 8), length - 8);
  }

  async #receiveHole({ command, cover }: Sent, length: number): Promise<void> {
    if (length !== 12) throw violation(this.#server, `a hole has ${length} bytes to say, not 12`);
    const payload = await this.#stream.read(12);
    const bytes = payload.readUInt32BE(8);
    const start = this.#start(command, payload.readBigUInt64BE(0), bytes);
    this.#cover(cover, start, bytes);
    command.onData?.(start, undefined, bytes);
  }

  /** Where in a read a chunk is. */
  #start(command: NbdCommand, offset: bigint, length: number): number {
    const start = Number(offset) - command.position;
    if (start >= 0 && length > 0 && start + length <= command.length) return start;
    throw violation(
      this.#server,
      `${length} bytes at ${offset} are a part of a read of ${command.length} bytes at ${command.position}`,
    );
  }

  #cover(cover: ReadCover, start: number, length: number): void {
    if (!cover.add(start, length)) throw violation(this.#server, 'a read is answered with more than it asked for');
  }

  async #receiveError(command: NbdCommand, length: number): Promise<Error> {
    if (length < 6 || length > MOST_ERROR_BYTES) throw violation(this.#server, `an error has ${length} bytes to say`);
    const payload = await this.#stream.read(length);
    const said = payload.subarray(6, 6 + payload.readUInt16BE(4)).toString();
    return this.#error(command, payload.readUInt32BE(0), said);
  }

  #error({ type, position, length }: NbdCommand, number: number, said = ''): Error {
    // Not an answer: the request is for whoever comes after this server.
    if (number === ESHUTDOWN) throw new TransportError(`NBD server ${this.#server}: it is shutting down`);
    const name = Object.entries(CommandType).find(([, value]) => value === type)?.[0] ?? type;
    const why = serverErrors[number] ?? `error ${number}`;
    return new TransportError(
      `NBD server ${this.#server}: ${name} of ${length} bytes at ${position}: ${why}${said === '' ? '' : ` (${JSON.stringify(said)})`}`,
    );
  }

  #answer(head: Buffer, error: Error | undefined): void {
    const cookie = head.readUInt32BE(12);
    const { command } = this.#sent.get(cookie)!;
    this.#sent.delete(cookie);
    if (this.#sent.size === 0) this.#stream.limitSilence(0);
    command.onAnswer(error);
  }
}

function requestHead(type: number, flags: number, cookie: number, position: number, length: number): Buffer {
  const head = Buffer.alloc(REQUEST_BYTES);
  head.writeUInt32BE(Magic.REQUEST, 0);
  head.writeUInt16BE(flags, 4);
  head.writeUInt16BE(type, 6);
  head.writeUInt32BE(cookie, 12);
  head.writeBigUInt64BE(BigInt(position), 16);
  head.writeUInt32BE(length, 24);
  return head;
}
