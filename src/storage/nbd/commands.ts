import type { DiskRequest } from '../../devices/block/disk.ts';
import type { NbdCommand } from './connection.ts';
import type { NbdExport } from './handshake.ts';
import { CommandFlag, CommandType, ExportFlag } from './layout.ts';

/** Pieces of a request that are in flight at the same time, so that a long one does not hold up the others. */
const PIECE_BYTES = 1 << 20;
/** The same for what carries no data; lengths have 32 bits. */
const EMPTY_PIECE_BYTES = 1 << 30;

const ZEROES = new Uint8Array(65_536);

const TYPES = {
  read: CommandType.READ,
  write: CommandType.WRITE,
  flush: CommandType.FLUSH,
  discard: CommandType.TRIM,
  writeZeroes: CommandType.WRITE_ZEROES,
} as const;

/** A command without what becomes of it. */
export type Piece = Pick<NbdCommand, 'type' | 'flags' | 'position' | 'length' | 'data' | 'onData'>;

/** What to ask a server for a request; the data of a write is copied. Throws StateError when the driver has reset its device. */
export function piecesOf(request: DiskRequest, { flags, maximumPayload, minimumBlock }: NbdExport): Piece[] {
  const { operation, position, length } = request;
  const type = TYPES[operation];
  if (operation === 'flush') return [{ type, flags: 0, position: 0, length: 0 }];
  const hasData = operation === 'read' || operation === 'write';
  const most = hasData
    ? Math.min(PIECE_BYTES, maximumPayload - (maximumPayload % Math.max(minimumBlock, 512)))
    : EMPTY_PIECE_BYTES;
  const pieces: Piece[] = [];
  for (let done = 0; done < length; done += most) {
    const count = Math.min(most, length - done);
    const piece = { type, flags: flagsOf(request, flags), position: position + done, length: count };
    if (operation === 'write') {
      const data = Buffer.allocUnsafe(count);
      request.copyData(done, data, 0, count);
      pieces.push({ ...piece, data });
    } else if (operation === 'read') {
      pieces.push({ ...piece, onData: (start, bytes, size) => put(request, done + start, bytes, size) });
    } else pieces.push(piece);
  }
  return pieces;
}

/** Where a server has no flush, but can be asked to make a single write stable, that is asked. */
function flagsOf({ operation, mayUnmap }: DiskRequest, exportFlags: number): number {
  const { SEND_FLUSH, SEND_FUA } = ExportFlag;
  const isFua = operation !== 'read' && (exportFlags & (SEND_FLUSH | SEND_FUA)) === SEND_FUA;
  const keepsBlocks = operation === 'writeZeroes' && !mayUnmap;
  return (isFua ? CommandFlag.FUA : 0) | (keepsBlocks ? CommandFlag.NO_HOLE : 0);
}

function put(request: DiskRequest, start: number, bytes: Uint8Array | undefined, length: number): void {
  if (bytes !== undefined) {
    request.putData(start, bytes, 0, length);
    return;
  }
  for (let done = 0; done < length; done += ZEROES.length) {
    request.putData(start + done, ZEROES, 0, Math.min(ZEROES.length, length - done));
  }
}
