/**
 * The messages of vfio-user, version 0.1 of the protocol, as one table: the fields that each request and each reply begins
 * with. What comes behind the fields are data. The numbers of flags and indices are those of Linux's VFIO.
 */
import { type Fields, Struct, type Values } from './struct.ts';

/** What goes from the client to the server, but for the two that go the other way. */
const table = {
  /** Data: `VersionData` as JSON. */
  version: { code: 1, request: { major: 2, minor: 2 }, reply: { major: 2, minor: 2 } },
  dmaMap: { code: 2, request: { argsz: 4, flags: 4, offset: 8, address: 8, size: 8 }, reply: {} },
  dmaUnmap: {
    code: 3,
    request: { argsz: 4, flags: 4, address: 8, size: 8 },
    reply: { argsz: 4, flags: 4, address: 8, size: 8 },
  },
  deviceInfo: {
    code: 4,
    request: { argsz: 4, flags: 4, regions: 4, interrupts: 4 },
    reply: { argsz: 4, flags: 4, regions: 4, interrupts: 4 },
  },
  regionInfo: {
    code: 5,
    request: { argsz: 4, flags: 4, index: 4, capabilities: 4, size: 8, offset: 8 },
    reply: { argsz: 4, flags: 4, index: 4, capabilities: 4, size: 8, offset: 8 },
  },
  regionIoFds: {
    code: 6,
    request: { argsz: 4, flags: 4, index: 4, count: 4 },
    reply: { argsz: 4, flags: 4, index: 4, count: 4 },
  },
  irqInfo: {
    code: 7,
    request: { argsz: 4, flags: 4, index: 4, count: 4 },
    reply: { argsz: 4, flags: 4, index: 4, count: 4 },
  },
  /** Data of the request: a byte for each interrupt, with `SetIrqs.BOOL`. */
  setIrqs: { code: 8, request: { argsz: 4, flags: 4, index: 4, start: 4, count: 4 }, reply: {} },
  regionRead: { code: 9, request: { offset: 8, region: 4, count: 4 }, reply: { offset: 8, region: 4, count: 4 } },
  regionWrite: { code: 10, request: { offset: 8, region: 4, count: 4 }, reply: { offset: 8, region: 4, count: 4 } },
  /** From server to client, as `dmaWrite`. */
  dmaRead: { code: 11, request: { address: 8, count: 8 }, reply: { address: 8, count: 8 } },
  dmaWrite: { code: 12, request: { address: 8, count: 8 }, reply: { address: 8, count: 8 } },
  reset: { code: 13, request: {}, reply: {} },
  /** Data of the request: `count` times `writeEntry`. */
  regionWriteMulti: { code: 15, request: { count: 8 }, reply: { count: 8 } },
  /** Data: what the feature says. */
  feature: { code: 16, request: { argsz: 4, flags: 4 }, reply: { argsz: 4, flags: 4 } },
  readMigration: { code: 17, request: { argsz: 4, size: 4 }, reply: { argsz: 4, size: 4 } },
  writeMigration: { code: 18, request: { argsz: 4, size: 4 }, reply: {} },
} as const;

export type CommandName = keyof typeof table;
export type Request<Name extends CommandName> = Values<(typeof table)[Name]['request']>;
export type Reply<Name extends CommandName> = Values<(typeof table)[Name]['reply']>;

/** One row of the table. */
export interface Command<Name extends CommandName = CommandName> {
  readonly name: Name;
  readonly code: number;
  readonly request: Struct<(typeof table)[Name]['request']>;
  readonly reply: Struct<(typeof table)[Name]['reply']>;
}

export const commands: { readonly [Name in CommandName]: Command<Name> } = Object.fromEntries(
  Object.entries(table).map(([name, { code, request, reply }]) => {
    return [name, { name, code, request: new Struct<Fields>(request), reply: new Struct<Fields>(reply) }];
  }),
) as unknown as { readonly [Name in CommandName]: Command<Name> };

/** Commands by their numbers. */
export const commandsByCode: ReadonlyMap<number, Command> = new Map(
  Object.values(commands).map((command: Command) => [command.code, command]),
);

const parts = {
  header: { id: 2, code: 2, size: 4, flags: 4, error: 4 },
  writeEntry: { offset: 8, region: 4, count: 4, low: 4, high: 4 },
  migrationFlags: { flags: 8 },
  migrationState: { state: 4, dataFd: 4 },
} as const;

/** What every message begins with. `size` is that of the whole message. */
export const header: Struct<(typeof parts)['header']> = new Struct(parts.header);
export type MessageHeader = Values<(typeof parts)['header']>;

/** One write of `regionWriteMulti`: up to 8 bytes, which lie in `low` and `high`. */
export const writeEntry: Struct<(typeof parts)['writeEntry']> = new Struct(parts.writeEntry);
/** The data of the features of migration. */
export const migrationFlags: Struct<(typeof parts)['migrationFlags']> = new Struct(parts.migrationFlags);
export const migrationState: Struct<(typeof parts)['migrationState']> = new Struct(parts.migrationState);

export const MessageFlag = { TYPE: 0xf, REPLY: 0x1, NO_REPLY: 0x10, ERROR: 0x20 } as const;
export const DmaFlag = { READ: 1, WRITE: 2 } as const;
export const DeviceFlag = { RESET: 1, PCI: 2 } as const;
export const RegionFlag = { READ: 1, WRITE: 2 } as const;
export const Region = { BAR0: 0, BAR5: 5, CONFIG: 7, COUNT: 9 } as const;
export const IrqFlag = { EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 } as const;
export const Irq = { INTX: 0, MSIX: 2, COUNT: 5 } as const;
/** What `setIrqs` brings, one of the first three, and what it does, one of the last three. */
export const SetIrqs = { NONE: 0x1, BOOL: 0x2, EVENTFD: 0x4, MASK: 0x8, UNMASK: 0x10, TRIGGER: 0x20 } as const;
export const Feature = {
  MIGRATION: 1,
  DEVICE_STATE: 2,
  INDEX: 0xffff,
  GET: 0x1_0000,
  SET: 0x2_0000,
  PROBE: 0x4_0000,
} as const;
export const MIGRATION_STOP_COPY = 1;
export const DeviceState = { ERROR: 0, STOP: 1, RUNNING: 2, STOP_COPY: 3, RESUMING: 4 } as const;
export type DeviceState = (typeof DeviceState)[keyof typeof DeviceState];
/** Numbers of errors in replies; Linux's. */
export const Errno = { EBUSY: 16, EEXIST: 17, EINVAL: 22, ENOENT: 2, ENOTTY: 25, ENOSPC: 28, EIO: 5 } as const;

/** How much data a message carries at most, and whatever else a message has besides. */
export const MOST_DATA_BYTES = 0x10_0000;
/** As many as `src/unix` takes. */
export const MOST_FDS = 16;
export const MOST_MESSAGE_BYTES: number = header.bytes + 64 + MOST_DATA_BYTES;

/** A whole request. `flags` are `MessageFlag.NO_REPLY` or none. */
export function encodeRequest<Name extends CommandName>(
  id: number,
  name: Name,
  values: Request<Name>,
  { data, flags = 0 }: { readonly data?: Uint8Array; readonly flags?: number } = {},
): Uint8Array {
  const { code, request } = commands[name];
  return encode({ id, code, flags, error: 0 }, request, values, data);
}

/** A whole reply. */
export function encodeReply<Name extends CommandName>(
  id: number,
  name: Name,
  values: Reply<Name>,
  data?: Uint8Array,
): Uint8Array {
  const { code, reply } = commands[name];
  return encode({ id, code, flags: MessageFlag.REPLY, error: 0 }, reply, values, data);
}

/** The reply that says that a request was refused; `code` need not be a command's. */
export function encodeError({ id, code }: Pick<MessageHeader, 'id' | 'code'>, error: number): Uint8Array {
  const flags = MessageFlag.REPLY | MessageFlag.ERROR;
  return encode({ id, code, flags, error }, new Struct({}), {});
}

/** The fields at the start of a message's body, and the data behind them; undefined when it is too short. */
export function decode<F extends Fields>(
  struct: Struct<F>,
  body: Uint8Array,
): { readonly values: Values<F>; readonly data: Uint8Array } | undefined {
  if (body.length < struct.bytes) return undefined;
  const values = struct.read(new DataView(body.buffer, body.byteOffset, body.length));
  return { values, data: body.subarray(struct.bytes) };
}

function encode<F extends Fields>(
  { id, code, flags, error }: Omit<MessageHeader, 'size'>,
  struct: Struct<F>,
  values: Values<F>,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const size = header.bytes + struct.bytes + data.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  header.write(view, { id, code, size, flags, error });
  struct.write(view, values, header.bytes);
  bytes.set(data, header.bytes + struct.bytes);
  return bytes;
}
