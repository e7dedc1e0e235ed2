import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';
import { TransportError } from '../spec/fault.ts';
import { checkIdentity, checkTopology, type DiskOptions, sectorBytes } from './disk-options.ts';
import { type Piece, piecesOf } from './nbd/commands.ts';
import type { NbdCommand } from './nbd/connection.ts';
import type { NbdExport } from './nbd/handshake.ts';
import { CommandType, ExportFlag } from './nbd/layout.ts';
import { difference, type NbdEvent, type NbdLimits, NbdServer } from './nbd/server.ts';
import type { NbdSession } from './nbd/session.ts';
import { Unflushed } from './nbd/unflushed.ts';
import { type NbdAddress, parseNbdUri } from './nbd/uri.ts';
import { asError, closedError, refusal } from './refusal.ts';

export type { NbdEvent, NbdLimits } from './nbd/server.ts';

export interface NbdDiskOptions extends DiskOptions {
  /** Connections at once, from 1 to 16, where the server is for several; 4 unless given. */
  readonly connections?: number;
  /** 10 s to connect, 30 s of silence of a server that owes an answer, 60 s to come back, unless given. */
  readonly limits?: Partial<NbdLimits>;
  /** Something happened to the connection that is worth a line in a log. */
  readonly onEvent?: (event: NbdEvent) => void;
}

const LIMITS: NbdLimits = { openMs: 10_000, silenceMs: 30_000, awayMs: 60_000 };
const MOST_CONNECTIONS = 16;

const FLUSH = { type: CommandType.FLUSH, flags: 0, position: 0, length: 0 } as const;

/**
 * Opens an export of an NBD server as a disk: `nbd://host:port/export`, port 10809 unless given, or
 * `nbd+unix:///export?socket=PATH`. What goes over TCP is neither encrypted nor signed.
 *
 * Throws RangeError for a URI, identity or topology that cannot be; TransportError when there is no server, or it does not
 * have the export, or wants TLS.
 */
export async function openNbdDisk(uri: string, options: NbdDiskOptions = {}): Promise<NbdDisk> {
  const address = parseNbdUri(uri);
  const { connections = 4, limits, onEvent = () => {} } = options;
  if (!Number.isInteger(connections) || connections < 1 || connections > MOST_CONNECTIONS) {
    throw new RangeError(`${connections} connections cannot be opened: 1 to ${MOST_CONNECTIONS} can`);
  }
  const identity = checkIdentity(options.identity ?? identityOf(address));
  let disk: NbdDisk | undefined;
  const opened = await NbdServer.open({
    address,
    connections,
    limits: { ...LIMITS, ...limits },
    onReconnect: (session) => disk!.repeat(session),
    onEvent,
  });
  const { server, found } = opened;
  try {
    if (found.bytes < sectorBytes) throw new TransportError(`NBD server ${uri}: its export is empty`);
    const topology = checkTopology(options.topology, topologyOf(found));
    disk = new NbdDisk(server, opened, { readOnly: options.readOnly ?? false, identity, topology });
    return disk;
  } catch (error) {
    server.close();
    throw error;
  }
}

/**
 * An export of an NBD server as a disk; requests are in flight on several connections.
 *
 * A server that goes away is waited for: what it has not answered is sent again, after all that it has answered but not
 * flushed, so that a flush is true also when the server lost its cache. That is kept in memory, up to 64 MiB; then the disk
 * flushes by itself. Once a flush was refused by the server, none is believed again. Made by `openNbdDisk`.
 */
export class NbdDisk implements Disk {
  readonly readOnly: boolean;
  readonly identity: string;
  readonly topology: DiskTopology;
  readonly supports: Disk['supports'];
  /** To the server, at the beginning. */
  readonly connections: number;
  onResize: (() => void) | undefined;
  readonly #server: NbdServer;
  #export: NbdExport;
  readonly #unflushed = new Unflushed();
  #sequence = 0;
  #inFlight = 0;
  #isFlushing = false;
  #flushError: Error | undefined;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /** Use `openNbdDisk`. */
  constructor(
    server: NbdServer,
    opened: { readonly found: NbdExport; readonly connections: number },
    options: { readonly readOnly: boolean; readonly identity: string; readonly topology: DiskTopology },
  ) {
    const { flags } = opened.found;
    this.#server = server;
    this.#export = opened.found;
    this.connections = opened.connections;
    this.readOnly = options.readOnly || (flags & ExportFlag.READ_ONLY) !== 0;
    this.identity = options.identity;
    this.topology = options.topology;
    this.supports = {
      flush: (flags & ExportFlag.SEND_FLUSH) !== 0,
      discard: !this.readOnly && (flags & ExportFlag.SEND_TRIM) !== 0,
      writeZeroes: !this.readOnly && (flags & ExportFlag.SEND_WRITE_ZEROES) !== 0,
    };
    server.holdWhile(() => this.#unflushed.isFull);
  }

  get capacitySectors(): number {
    return Math.floor(this.#export.bytes / sectorBytes);
  }

  submit(request: DiskRequest): void {
    const refused = this.#closing === undefined ? (refusal(this, request) ?? this.#misfit(request)) : closedError();
    if (refused !== undefined) {
      request.fail(refused);
      return;
    }
    this.#inFlight++;
    try {
      const pieces = piecesOf(request, this.#export);
      let left = Math.max(pieces.length, 1);
      let failure: Error | undefined;
      const onAnswer = (error: Error | undefined): void => {
        failure ??= error;
        if (--left === 0) this.#finish(request, failure);
      };
      if (pieces.length === 0) onAnswer(undefined);
      for (const piece of pieces) this.#send(piece, onAnswer);
    } catch (thrown) {
      this.#finish(request, asError(thrown));
    }
  }

  /**
   * Waits for the requests in flight, but not for a server that is away; then leaves the server, which does with what was not
   * flushed as it likes.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** For the server when it is back: does again what it may have lost. Throws TransportError when it is not the same. */
  async repeat(session: NbdSession): Promise<void> {
    const different = difference(this.#export, session.export);
    if (different !== undefined) throw new TransportError(`NBD server has come back, but ${different}`);
    for (const command of this.#unflushed.commands) {
      // One after the other: what overlaps must not overtake.
      const refused = await answerOf(session, command);
      if (refused !== undefined) this.#failFlushes(refused);
    }
    await this.#flushRepeated(session);
    const grown = session.export.bytes > this.#export.bytes;
    this.#export = {
      ...this.#export,
      bytes: session.export.bytes,
      hasStructuredReplies: session.export.hasStructuredReplies,
    };
    if (grown) this.onResize?.();
  }

  async #flushRepeated(session: NbdSession): Promise<void> {
    const { commands, mark } = this.#unflushed;
    if (commands.length === 0) return;
    const ignore = (): void => {};
    const refused = await answerOf(session, { ...FLUSH, sequence: this.#sequence++, onAnswer: ignore, onLost: ignore });
    if (refused === undefined) this.#unflushed.drop(mark);
    else this.#failFlushes(refused);
  }

  #send(piece: Piece, onAnswer: (error: Error | undefined) => void): void {
    const mark = this.#unflushed.mark;
    const command: NbdCommand = {
      ...piece,
      sequence: this.#sequence++,
      onAnswer: (error) => {
        this.#server.isAlive();
        onAnswer(this.#settle(command, mark, error));
        if (this.#unflushed.wantsFlush && !this.#isFlushing) this.#flushItself();
        this.#server.goOn();
      },
      onLost: onAnswer,
    };
    this.#server.send(command);
  }

  /** What an answer means for flushes; the error that the request ends with. */
  #settle(command: NbdCommand, mark: number, error: Error | undefined): Error | undefined {
    if (command.type === CommandType.FLUSH) {
      if (error === undefined) this.#unflushed.drop(mark);
      else this.#failFlushes(error);
      return this.#flushError;
    }
    const changes = command.type !== CommandType.READ;
    if (changes && error === undefined && this.supports.flush && this.#flushError === undefined) {
      this.#unflushed.add(command);
    }
    return error;
  }

  /** So that what is kept does not grow without end with a driver that never flushes. */
  #flushItself(): void {
    const { mark } = this.#unflushed;
    const done = (error: Error | undefined): void => {
      this.#isFlushing = false;
      if (error === undefined) this.#unflushed.drop(mark);
      this.#server.goOn();
    };
    const command = {
      ...FLUSH,
      sequence: this.#sequence++,
      onAnswer: (error: Error | undefined) => {
        if (error !== undefined) this.#failFlushes(error);
        done(error);
      },
      onLost: done,
    };
    this.#isFlushing = this.#server.sendFirst(command);
  }

  #failFlushes(error: Error): void {
    this.#flushError ??= error;
    this.#unflushed.drop(this.#unflushed.mark);
  }

  #finish(request: DiskRequest, error: Error | undefined): void {
    this.#inFlight--;
    if (error === undefined) request.complete();
    else request.fail(error);
    if (this.#inFlight === 0) this.#onIdle?.();
  }

  #misfit({ operation, position, length }: DiskRequest): Error | undefined {
    const { minimumBlock } = this.#export;
    if (position % minimumBlock === 0 && length % minimumBlock === 0) return undefined;
    return new RangeError(
      `A ${operation} of ${length} bytes at ${position} came for a server that has blocks of ${minimumBlock}: the driver ` +
        'must keep to the block size that the device tells it',
    );
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      this.#server.leave();
      await idle;
    }
    this.#server.close();
  }
}

/** The error that a server answers a command with; throws when the session breaks before. */
function answerOf(session: NbdSession, command: NbdCommand): Promise<Error | undefined> {
  return new Promise((resolve, reject) => {
    session.whenBroken(reject);
    session.send({ ...command, onAnswer: resolve, onLost: reject });
  });
}

function topologyOf({ minimumBlock, preferredBlock }: NbdExport): Partial<DiskTopology> & DiskTopology {
  const blockSize = Math.max(minimumBlock, sectorBytes);
  const optimalBlocks = Math.floor(preferredBlock / blockSize);
  return { blockSize, physicalBlockExponent: 0, alignmentOffset: 0, minimumBlocks: 0, optimalBlocks };
}

/** The export's name, as far as GET_ID can carry it. */
function identityOf({ exportName }: NbdAddress): string {
  return (exportName === '' ? 'nbd' : exportName).replaceAll(/[^\x20-\x7e]/g, '_').slice(0, 20);
}
