import { MOST_DMA_REGIONS } from './dma-regions.ts';
import { handleFeature } from './features.ts';
import type { ClientInterrupts } from './interrupts.ts';
import type { Message } from './message-socket.ts';
import {
  type Command,
  type CommandName,
  commandsByCode,
  DeviceFlag,
  decode,
  Errno,
  encodeError,
  encodeReply,
  Irq,
  MessageFlag,
  MOST_DATA_BYTES,
  MOST_FDS,
  Region,
  type Reply,
  type Request,
  writeEntry,
} from './messages.ts';
import { Refusal } from './refusal.ts';
import { readRegion, regionInfo, writeRegion } from './regions.ts';
import type { ServedFunction } from './served-function.ts';
import { decodeCapabilities, encodeCapabilities, MAJOR, MINOR } from './version.ts';

/** The fields of a reply, and its data. */
export type Answer<Name extends CommandName> = readonly [fields: Reply<Name>, data?: Uint8Array];

type Handler<Name extends CommandName> = (
  request: Request<Name>,
  data: Uint8Array,
  fds: number[],
) => Answer<Name> | Promise<Answer<Name>>;

/**
 * What one client asks of a function, one request after the other. Every request is answered, with an error if it makes no
 * sense; nothing that a client sends makes it throw.
 */
export class Session {
  readonly #served: ServedFunction;
  readonly #interrupts: ClientInterrupts;
  readonly #handlers: { readonly [Name in CommandName]?: Handler<Name> };
  #negotiated = false;

  constructor(served: ServedFunction, interrupts: ClientInterrupts) {
    this.#served = served;
    this.#interrupts = interrupts;
    this.#handlers = this.#makeHandlers();
  }

  /** The reply to a message, now or when it is done; undefined when none is wanted. */
  handle({ header, body, fds }: Message): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const { id, code, flags } = header;
    // Nothing is asked of clients, so there is nothing that they could answer.
    if ((flags & MessageFlag.TYPE) !== 0) return undefined;
    const reply = (bytes: Uint8Array): Uint8Array | undefined => {
      return (flags & MessageFlag.NO_REPLY) === 0 ? bytes : undefined;
    };
    const refuse = (error: unknown): Uint8Array | undefined => {
      return reply(encodeError({ id, code }, error instanceof Refusal ? error.errno : Errno.EIO));
    };
    const command = commandsByCode.get(code);
    const done = ([fields, data]: Answer<CommandName>): Uint8Array | undefined => {
      return reply(encodeReply(id, command!.name, fields, data));
    };
    try {
      const answer = this.#answer(command, body, fds);
      return answer instanceof Promise ? answer.then(done, refuse) : done(answer);
    } catch (error) {
      return refuse(error);
    }
  }

  #answer(
    command: Command | undefined,
    body: Uint8Array,
    fds: number[],
  ): Answer<CommandName> | Promise<Answer<CommandName>> {
    const handler = command && (this.#handlers[command.name] as Handler<CommandName> | undefined);
    if (handler === undefined) throw new Refusal(Errno.ENOTTY, 'there is no such command here');
    if (this.#negotiated === (command!.name === 'version')) {
      throw new Refusal(Errno.EINVAL, 'the version comes first, and once');
    }
    const decoded = decode(command!.request, body);
    if (decoded === undefined) throw new Refusal(Errno.EINVAL, `${body.length} bytes are no ${command!.name}`);
    return handler(decoded.values, decoded.data, fds);
  }

  #makeHandlers(): { readonly [Name in CommandName]?: Handler<Name> } {
    const served = this.#served;
    const { fn, migration } = served;
    return {
      version: (request, data) => this.#version(request, data),
      dmaMap: (request, _, fds) => {
        served.map(request, fds);
        return [{}];
      },
      dmaUnmap: (request) => {
        const answer = [request] as const;
        return served.unmap(request)?.then(() => answer) ?? answer;
      },
      deviceInfo: ({ argsz }) => {
        const flags = DeviceFlag.RESET | DeviceFlag.PCI;
        return [{ argsz: needed(argsz, 16), flags, regions: Region.COUNT, interrupts: Irq.COUNT }];
      },
      regionInfo: ({ argsz, index }) => [{ argsz: needed(argsz, 32), ...regionInfo(fn, index) }],
      irqInfo: ({ argsz, index }) => [{ argsz: needed(argsz, 16), ...this.#interrupts.info(index) }],
      setIrqs: (request, data, fds) => {
        this.#interrupts.set(request, data, fds);
        return [{}];
      },
      regionRead: (request) => {
        const bytes = readRegion(fn, request.region, request.offset, request.count);
        served.goOn();
        return [request, bytes];
      },
      regionWrite: (request, data) => {
        if (data.length !== request.count) throw new Refusal(Errno.EINVAL, `${data.length} bytes were sent to write`);
        writeRegion(fn, request.region, request.offset, data);
        served.goOn();
        return [request];
      },
      regionWriteMulti: (request, data) => this.#writeMulti(request, data),
      reset: () => {
        served.reset();
        return [{}];
      },
      feature: (request, data) => handleFeature(migration, request, data),
      readMigration: ({ size }) => {
        const data = migration.read(Math.min(size, MOST_DATA_BYTES));
        return [{ argsz: 8 + data.length, size: data.length }, data];
      },
      writeMigration: ({ size }, data) => {
        if (data.length !== size) throw new Refusal(Errno.EINVAL, `${data.length} bytes of state came, not ${size}`);
        migration.write(data);
        return [{}];
      },
    };
  }

  #version({ major, minor }: Request<'version'>, data: Uint8Array): Answer<'version'> {
    const theirs = decodeCapabilities(data);
    if (major !== MAJOR || theirs === undefined) {
      throw new Refusal(Errno.EINVAL, `version ${major}.${minor} of the protocol is not spoken here`);
    }
    this.#negotiated = true;
    const ours = encodeCapabilities({
      maxMsgFds: MOST_FDS,
      maxDataXferSize: MOST_DATA_BYTES,
      maxDmaMaps: Math.min(MOST_DMA_REGIONS, theirs.maxDmaMaps),
      pgsizes: 4096,
      writeMultiple: theirs.writeMultiple,
    });
    return [{ major, minor: Math.min(minor, MINOR) }, ours];
  }

  #writeMulti({ count }: Request<'regionWriteMulti'>, data: Uint8Array): Answer<'regionWriteMulti'> {
    if (data.length !== count * writeEntry.bytes) {
      throw new Refusal(Errno.EINVAL, `${data.length} bytes are not ${count} writes`);
    }
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let at = 0; at < data.length; at += writeEntry.bytes) {
      const { offset, region, count: bytes } = writeEntry.read(view, at);
      if (bytes > 8) throw new Refusal(Errno.EINVAL, `a write of ${bytes} bytes has a message of its own`);
      const start = at + writeEntry.bytes - 8;
      writeRegion(this.#served.fn, region, offset, data.subarray(start, start + bytes));
    }
    this.#served.goOn();
    return [{ count }];
  }
}

/** What a reply needs, where the client has room for it. */
function needed(argsz: number, bytes: number): number {
  if (argsz < bytes) throw new Refusal(Errno.EINVAL, `the reply has ${bytes} bytes, and there is room for ${argsz}`);
  return bytes;
}
