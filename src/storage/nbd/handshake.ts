import { TransportError } from '../../spec/fault.ts';
import type { ByteStream } from './byte-stream.ts';
import { ExportFlag, HandshakeFlag, Info, Magic, Option, OptionReply, optionErrors } from './layout.ts';
import { violation } from './violation.ts';

/** What a server says about an export. */
export interface NbdExport {
  readonly bytes: number;
  /** Of `ExportFlag`. */
  readonly flags: number;
  /** What requests are multiples of, and what is best for them. */
  readonly minimumBlock: number;
  readonly preferredBlock: number;
  /** The most that is carried by one request. */
  readonly maximumPayload: number;
  readonly hasStructuredReplies: boolean;
}

/** What a server that says nothing takes. */
const DEFAULT_MAXIMUM = 32 << 20;
/** The longest answer that makes sense: information with a long name. */
const MOST_REPLY_BYTES = 65_536;
const MOST_INFOS = 64;

interface Reply {
  readonly type: number;
  readonly data: Buffer;
}

/** Agrees with a server on an export, whose requests can follow. Throws TransportError that says what is in the way. */
export async function negotiate(stream: ByteStream, exportName: string, server: string): Promise<NbdExport> {
  const greeting = await stream.read(18);
  if (!isMagic(greeting, 0, Magic.INIT)) throw violation(server, 'what it says first is not NBD');
  if (!isMagic(greeting, 8, Magic.OPTION))
    throw new TransportError(`NBD server ${server}: it knows the oldest protocol only`);
  const flags = greeting.readUInt16BE(16);
  if ((flags & HandshakeFlag.FIXED_NEWSTYLE) === 0) {
    throw new TransportError(`NBD server ${server}: it does not know the fixed newstyle protocol`);
  }
  const reply = Buffer.alloc(4);
  reply.writeUInt32BE(flags & (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES));
  stream.write(reply);
  const structured = await ask(stream, server, Option.STRUCTURED_REPLY, Buffer.alloc(0));
  const hasStructuredReplies = structured.type === OptionReply.ACK;
  if (!hasStructuredReplies && structured.type < OptionReply.ERROR)
    throw refused(structured, 'structured replies', server);
  return await go(stream, server, exportName, hasStructuredReplies);
}

async function go(
  stream: ByteStream,
  server: string,
  exportName: string,
  hasStructuredReplies: boolean,
): Promise<NbdExport> {
  const name = Buffer.from(exportName);
  const request = Buffer.alloc(4 + name.length + 4);
  request.writeUInt32BE(name.length);
  name.copy(request, 4);
  request.writeUInt16BE(1, 4 + name.length);
  request.writeUInt16BE(Info.BLOCK_SIZE, 6 + name.length);
  let reply = await ask(stream, server, Option.GO, request);
  let found: Pick<NbdExport, 'bytes' | 'flags'> | undefined;
  let blocks = { minimumBlock: 1, preferredBlock: 4096, maximumPayload: DEFAULT_MAXIMUM };
  for (let count = 0; reply.type === OptionReply.INFO; count++) {
    if (count === MOST_INFOS) throw violation(server, `it has more than ${MOST_INFOS} things to say about an export`);
    const { data } = reply;
    if (data.length < 2) throw violation(server, 'it says something about an export without a kind');
    const kind = data.readUInt16BE(0);
    if (kind === Info.EXPORT) found = exportInfo(data, server);
    else if (kind === Info.BLOCK_SIZE) blocks = blockSizes(data, server);
    reply = await answer(stream, server, Option.GO);
  }
  if (reply.type !== OptionReply.ACK) throw refused(reply, `export ${JSON.stringify(exportName)}`, server);
  if (found === undefined) throw violation(server, 'it does not say how large the export is');
  return { ...found, ...blocks, hasStructuredReplies };
}

function exportInfo(data: Buffer, server: string): Pick<NbdExport, 'bytes' | 'flags'> {
  if (data.length !== 12) throw violation(server, `what it says about the export has ${data.length} bytes, not 12`);
  const bytes = Number(data.readBigUInt64BE(2));
  if (!Number.isSafeInteger(bytes)) throw violation(server, `an export of ${bytes} bytes is larger than any disk`);
  const flags = data.readUInt16BE(10);
  return { bytes, flags: (flags & ExportFlag.HAS_FLAGS) === 0 ? 0 : flags };
}

function blockSizes(
  data: Buffer,
  server: string,
): Pick<NbdExport, 'minimumBlock' | 'preferredBlock' | 'maximumPayload'> {
  if (data.length !== 14) throw violation(server, `what it says about block sizes has ${data.length} bytes, not 14`);
  const [minimumBlock, preferredBlock, maximumPayload] = [2, 6, 10].map((at) => data.readUInt32BE(at)) as [
    number,
    number,
    number,
  ];
  const isSane =
    Number.isInteger(Math.log2(minimumBlock)) &&
    minimumBlock <= 65_536 &&
    preferredBlock >= minimumBlock &&
    maximumPayload >= Math.max(minimumBlock, 512);
  if (!isSane)
    throw violation(server, `block sizes cannot be ${minimumBlock}, ${preferredBlock} and ${maximumPayload}`);
  return { minimumBlock, preferredBlock, maximumPayload };
}

function ask(stream: ByteStream, server: string, option: number, data: Buffer): Promise<Reply> {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(Magic.OPTION[0], 0);
  head.writeUInt32BE(Magic.OPTION[1], 4);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(data.length, 12);
  stream.write(head, data);
  return answer(stream, server, option);
}

async function answer(stream: ByteStream, server: string, option: number): Promise<Reply> {
  const head = await stream.read(20);
  if (!isMagic(head, 0, Magic.OPTION_REPLY)) throw violation(server, 'an answer to an option does not begin as one');
  if (head.readUInt32BE(8) !== option) {
    throw violation(server, `it answers option ${head.readUInt32BE(8)} when it was asked option ${option}`);
  }
  const length = head.readUInt32BE(16);
  if (length > MOST_REPLY_BYTES) throw violation(server, `an answer to an option has ${length} bytes`);
  return { type: head.readUInt32BE(12), data: await stream.read(length) };
}

function refused({ type, data }: Reply, what: string, server: string): Error {
  if (type < OptionReply.ERROR) return violation(server, `it answers an option with type ${type}`);
  const why = optionErrors[type - OptionReply.ERROR] ?? `error ${type - OptionReply.ERROR}`;
  const said = data.length === 0 ? '' : ` (it says ${JSON.stringify(data.toString().slice(0, 200))})`;
  return new TransportError(`NBD server ${server}: ${what}: ${why}${said}`);
}

function isMagic(bytes: Buffer, at: number, [high, low]: readonly [number, number]): boolean {
  return bytes.readUInt32BE(at) === high && bytes.readUInt32BE(at + 4) === low;
}
