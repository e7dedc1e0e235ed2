import { createServer, type Server, type Socket } from 'node:net';
import {
  ChunkType,
  CommandType,
  ExportFlag,
  Info,
  Magic,
  Option,
  OptionReply,
  REQUEST_BYTES,
} from '../../../../src/storage/nbd/layout.ts';

const { HAS_FLAGS, SEND_FLUSH, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN } = ExportFlag;
export const ALL_FLAGS: number = HAS_FLAGS | SEND_FLUSH | SEND_TRIM | SEND_WRITE_ZEROES | CAN_MULTI_CONN;

export interface Command {
  readonly type: number;
  readonly flags: number;
  readonly cookie: Buffer;
  readonly position: number;
  readonly length: number;
  readonly data: Buffer;
  readonly socket: Socket;
  /** Counts the connections of the server from 0. */
  readonly connection: number;
}

export interface NbdServerOptions {
  readonly flags?: number;
  readonly structured?: boolean;
  /** Smallest, best and largest block. */
  readonly blocks?: readonly [number, number, number];
  /** In place of the first 18 bytes. */
  readonly greeting?: Buffer;
  /** In place of the answer to an option. */
  readonly onOption?: (option: number, data: Buffer) => Buffer | undefined;
}

/** A server that does as a test says: with a cache that it loses when it crashes, and answers of any kind. */
export class TestNbdServer {
  /** What is read, and what of it a crash leaves. */
  content: Uint8Array;
  stable: Uint8Array;
  /** Every command in its order. */
  readonly log: Command[] = [];
  connections = 0;
  /** What becomes of a command; answers at once by default. */
  onCommand: (command: Command, answer: () => void) => void = (_, answer) => answer();
  readonly options: NbdServerOptions;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(path: string, content: Uint8Array, options: NbdServerOptions) {
    this.#path = path;
    this.content = content.slice();
    this.stable = content.slice();
    this.options = options;
  }

  /** At a path, or at a port of this machine when that is empty. */
  static async start(path: string, content: Uint8Array, options: NbdServerOptions = {}): Promise<TestNbdServer> {
    const server = new TestNbdServer(path, content, options);
    await server.listen();
    return server;
  }

  get uri(): string {
    const address = this.#server!.address();
    if (typeof address === 'object') return `nbd://127.0.0.1:${address!.port}/`;
    return `nbd+unix:///?socket=${encodeURIComponent(this.#path)}`;
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {});
      void this.#serve(socket, this.connections++).catch(() => socket.destroy());
    });
    this.#server = server;
    const at = this.#path === '' ? { port: 0, host: '127.0.0.1' } : { path: this.#path };
    await new Promise<void>((resolve) => server.listen(at, resolve));
  }

  /** All connections break, and what was not flushed is gone. */
  crash(): void {
    this.content = this.stable.slice();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The same, and nobody listens any more. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    this.crash();
    await closed;
  }

  async #serve(socket: Socket, connection: number): Promise<void> {
    const read = reader(socket);
    socket.write(this.options.greeting ?? words('u32', ...Magic.INIT, ...Magic.OPTION, 'u16', 3));
    await read(4);
    let isStructured = false;
    for (;;) {
      const head = await read(16);
      const option = head.readUInt32BE(8);
      const data = await read(head.readUInt32BE(12));
      const own = this.options.onOption?.(option, data);
      if (own !== undefined) socket.write(own);
      else if (option === Option.STRUCTURED_REPLY && this.options.structured === true) {
        isStructured = true;
        socket.write(optionReply(option, OptionReply.ACK));
      } else if (option === Option.GO) socket.write(this.exportReply());
      else socket.write(optionReply(option, OptionReply.ERROR + 1));
      if (option === Option.GO) break;
    }
    for (;;) await this.#receive(socket, connection, read, isStructured);
  }

  /** The whole answer to GO. */
  exportReply(bytes: number = this.content.length): Buffer {
    const { flags = ALL_FLAGS, blocks } = this.options;
    const found = words('u16', Info.EXPORT, 'u64', bytes, 'u16', flags);
    const sizes = blocks === undefined ? [] : [words('u16', Info.BLOCK_SIZE, 'u32', ...blocks)];
    const infos = [found, ...sizes].map((info) => optionReply(Option.GO, OptionReply.INFO, info));
    return Buffer.concat([...infos, optionReply(Option.GO, OptionReply.ACK)]);
  }

  async #receive(
    socket: Socket,
    connection: number,
    read: (length: number) => Promise<Buffer>,
    isStructured: boolean,
  ): Promise<void> {
    const head = await read(REQUEST_BYTES);
    const type = head.readUInt16BE(6);
    const length = head.readUInt32BE(24);
    const command: Command = {
      type,
      flags: head.readUInt16BE(4),
      cookie: head.subarray(8, 16),
      position: Number(head.readBigUInt64BE(16)),
      length,
      data: type === CommandType.WRITE ? await read(length) : Buffer.alloc(0),
      socket,
      connection,
    };
    if (type === CommandType.DISCONNECT) socket.end();
    this.log.push(command);
    if (type === CommandType.DISCONNECT) return;
    this.onCommand(command, () => {
      if (socket.destroyed) return;
      const bytes = this.#do(command);
      if (type !== CommandType.READ || !isStructured) socket.write(Buffer.concat([simpleReply(command), bytes]));
      else socket.write(this.#parts(command, bytes));
    });
  }

  #do({ type, position, length, data }: Command): Uint8Array {
    if (type === CommandType.READ) return this.content.slice(position, position + length);
    if (type === CommandType.WRITE) this.content.set(data, position);
    else if (type === CommandType.FLUSH) this.stable.set(this.content);
    else this.content.fill(0, position, position + length);
    return new Uint8Array(0);
  }

  /** A read in two parts, the second one first; zeroes as a hole. */
  #parts(command: Command, bytes: Uint8Array): Buffer {
    const half = Math.ceil(bytes.length / 1024) * 512;
    const parts = [[half, bytes.length] as const, [0, half] as const].filter(([start, end]) => start < end);
    return Buffer.concat([
      ...parts.map(([start, end]) => {
        const part = bytes.subarray(start, end);
        const at = command.position + start;
        if (part.every((byte) => byte === 0)) {
          return chunk(command, ChunkType.OFFSET_HOLE, words('u64', at, 'u32', part.length), { more: true });
        }
        return chunk(command, ChunkType.OFFSET_DATA, Buffer.concat([words('u64', at), part]), { more: true });
      }),
      chunk(command, ChunkType.NONE, Buffer.alloc(0)),
    ]);
  }
}

/** Big-endian numbers: `u16`, `u32` or `u64` says how wide those after it are. */
export function words(...parts: readonly (number | 'u16' | 'u32' | 'u64')[]): Buffer {
  let width: string | number = 'u32';
  const pieces: Buffer[] = [];
  for (const part of parts) {
    if (typeof part === 'string') width = part;
    else {
      const piece = Buffer.alloc(Number(String(width).slice(1)) / 8);
      if (width === 'u64') piece.writeBigUInt64BE(BigInt(part));
      else piece.writeUIntBE(part, 0, piece.length);
      pieces.push(piece);
    }
  }
  return Buffer.concat(pieces);
}

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([words('u32', ...Magic.OPTION_REPLY, option, type, data.length), data]);
}

export function simpleReply({ cookie }: Pick<Command, 'cookie'>, error = 0): Buffer {
  return Buffer.concat([words('u32', Magic.SIMPLE_REPLY, error), cookie]);
}

export function chunk(
  { cookie }: Pick<Command, 'cookie'>,
  type: number,
  payload: Buffer,
  { more = false }: { readonly more?: boolean } = {},
): Buffer {
  const head = words('u32', Magic.STRUCTURED_REPLY, 'u16', more ? 0 : 1, type);
  return Buffer.concat([head, cookie, words('u32', payload.length), payload]);
}

function reader(socket: Socket): (length: number) => Promise<Buffer> {
  let wake = (): void => {};
  let ended = false;
  socket.on('readable', () => wake());
  socket.on('close', () => {
    ended = true;
    wake();
  });
  socket.on('end', () => {
    ended = true;
    wake();
  });
  return async (length) => {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes?.length === length) return bytes;
      if (ended || bytes !== null) throw new Error('the client has gone');
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
