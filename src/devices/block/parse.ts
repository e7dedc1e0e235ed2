import { joinU64 } from '../../memory/guest-memory.ts';
import type { Chain } from '../../queue/chain.ts';
import { ProtocolError } from '../../spec/fault.ts';
import {
  BlockHeader,
  BlockRange,
  BlockRequestType,
  BlockStatus,
  ID_BYTES,
  RANGE_UNMAP,
  SECTOR_BYTES,
} from './layout.ts';

// What each request needs, as values of this module: those of others are looked up anew at each use.
const { TYPE, SECTOR, BYTES: HEADER_BYTES } = BlockHeader;
const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = BlockRequestType;
const { OK, IOERR, UNSUPP } = BlockStatus;

/** A range of the disk, in bytes. */
export interface DiskRange {
  position: number;
  length: number;
  mayUnmap: boolean;
}

/** What a request asks for. */
export type ParsedKind = 'read' | 'write' | 'flush' | 'identify' | 'discard' | 'writeZeroes';

/** A request's values, read once from the driver's memory and checked. The object is used again for the next request. */
export interface ParsedRequest {
  kind: ParsedKind;
  /** One range, of length 0 for a flush; several for discard and write zeroes. Objects are used again. */
  readonly ranges: DiskRange[];
  rangeCount: number;
  /** BlockStatus.OK when the request can be executed, else the status to answer it with at once. */
  status: number;
}

/** What the device allows. */
export interface BlockLimits {
  readonly capacitySectors: number;
  readonly readOnly: boolean;
  readonly flush: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  readonly maxRanges: number;
  readonly maxRangeSectors: number;
}

export function emptyRequest(): ParsedRequest {
  return { kind: 'read', ranges: [], rangeCount: 0, status: OK };
}

/**
 * Reads a request from a chain into `into` (§5.2.6). What the standard has an answer for becomes a status; a chain
 * without room for a header and a status byte has no place for an answer and throws ProtocolError.
 */
export function parse(chain: Chain, limits: BlockLimits, into: ParsedRequest): void {
  if (chain.readableBytes < HEADER_BYTES || chain.writableBytes < 1) {
    throw new ProtocolError(
      'blk.driver.op.request',
      `a request of ${chain.readableBytes} device-readable and ${chain.writableBytes} device-writable bytes has no header or no status`,
    );
  }
  into.rangeCount = 0;
  into.status = parseByType(chain, limits, into);
}

function parseByType(chain: Chain, limits: BlockLimits, into: ParsedRequest): number {
  switch (chain.readU32(TYPE)) {
    case IN:
      into.kind = 'read';
      return parseTransfer(chain, chain.writableBytes - 1, limits, into);
    case OUT:
      into.kind = 'write';
      if (limits.readOnly) return IOERR;
      return parseTransfer(chain, chain.readableBytes - HEADER_BYTES, limits, into);
    case FLUSH:
      into.kind = 'flush';
      addRange(into, 0, 0, false);
      return limits.flush ? OK : UNSUPP;
    case GET_ID:
      into.kind = 'identify';
      return chain.writableBytes - 1 < ID_BYTES ? IOERR : OK;
    case DISCARD:
      into.kind = 'discard';
      return limits.discard ? parseRanges(chain, 0, limits, into) : UNSUPP;
    case WRITE_ZEROES:
      into.kind = 'writeZeroes';
      return limits.writeZeroes ? parseRanges(chain, RANGE_UNMAP, limits, into) : UNSUPP;
    default:
      return UNSUPP;
  }
}

function parseTransfer(chain: Chain, length: number, limits: BlockLimits, into: ParsedRequest): number {
  const sector = joinU64(chain.readU32(SECTOR), chain.readU32(SECTOR + 4));
  if (length % SECTOR_BYTES !== 0 || sector + length / SECTOR_BYTES > limits.capacitySectors) return IOERR;
  addRange(into, sector * SECTOR_BYTES, length, false);
  return OK;
}

function parseRanges(chain: Chain, allowedFlags: number, limits: BlockLimits, into: ParsedRequest): number {
  const count = (chain.readableBytes - HEADER_BYTES) / BlockRange.BYTES;
  if (limits.readOnly || !Number.isInteger(count) || count === 0 || count > limits.maxRanges) return IOERR;
  for (let n = 0; n < count; n++) {
    const at = HEADER_BYTES + n * BlockRange.BYTES;
    const sector = joinU64(chain.readU32(at), chain.readU32(at + 4));
    const sectors = chain.readU32(at + BlockRange.NUM_SECTORS);
    const flags = chain.readU32(at + BlockRange.FLAGS);
    if ((flags & ~allowedFlags) !== 0) return UNSUPP;
    if (sectors > limits.maxRangeSectors || sector + sectors > limits.capacitySectors) return IOERR;
    addRange(into, sector * SECTOR_BYTES, sectors * SECTOR_BYTES, (flags & RANGE_UNMAP) !== 0);
  }
  return OK;
}

function addRange(into: ParsedRequest, position: number, length: number, mayUnmap: boolean): void {
  const range = into.ranges[into.rangeCount];
  if (range === undefined) into.ranges.push({ position, length, mayUnmap });
  else {
    range.position = position;
    range.length = length;
    range.mayUnmap = mayUnmap;
  }
  into.rangeCount++;
}
