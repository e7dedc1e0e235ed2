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

/** A range of the disk, in bytes. */
export interface DiskRange {
  position: number;
  length: number;
  mayUnmap: boolean;
}

/** What a request asks for; `invalid` carries the status to answer it with. */
export type ParsedKind = 'read' | 'write' | 'flush' | 'identify' | 'discard' | 'writeZeroes' | 'invalid';

/** A request's values, read once from the driver's memory and checked. The object is used again for the next request. */
export interface ParsedRequest {
  kind: ParsedKind;
  /** One range, of length 0 for a flush; several for discard and write zeroes. Objects are used again. */
  readonly ranges: DiskRange[];
  rangeCount: number;
  /** For `invalid`. */
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
  return { kind: 'invalid', ranges: [], rangeCount: 0, status: BlockStatus.OK };
}

/**
 * Reads a request from a chain into `into` (§5.2.6). What the standard has an answer for becomes `invalid`; a chain
 * without room for a header and a status byte has no place for an answer and throws ProtocolError.
 */
export function parse(chain: Chain, limits: BlockLimits, into: ParsedRequest): void {
  if (chain.readableBytes < BlockHeader.BYTES || chain.writableBytes < 1) {
    throw new ProtocolError(
      'blk.driver.op.request',
      `a request of ${chain.readableBytes} device-readable and ${chain.writableBytes} device-writable bytes has no header or no status`,
    );
  }
  const sector = joinU64(chain.readU32(BlockHeader.SECTOR), chain.readU32(BlockHeader.SECTOR + 4));
  into.rangeCount = 0;
  switch (chain.readU32(BlockHeader.TYPE)) {
    case BlockRequestType.IN:
      return parseTransfer('read', sector, chain.writableBytes - 1, limits, into);
    case BlockRequestType.OUT:
      return parseTransfer('write', sector, chain.readableBytes - BlockHeader.BYTES, limits, into);
    case BlockRequestType.FLUSH:
      if (!limits.flush) return invalid(into, BlockStatus.UNSUPP);
      into.kind = 'flush';
      addRange(into, 0, 0, false);
      return;
    case BlockRequestType.GET_ID:
      if (chain.writableBytes - 1 < ID_BYTES) return invalid(into, BlockStatus.IOERR);
      into.kind = 'identify';
      return;
    case BlockRequestType.DISCARD:
      if (!limits.discard) return invalid(into, BlockStatus.UNSUPP);
      return parseRanges('discard', chain, limits, into);
    case BlockRequestType.WRITE_ZEROES:
      if (!limits.writeZeroes) return invalid(into, BlockStatus.UNSUPP);
      return parseRanges('writeZeroes', chain, limits, into);
    default:
      return invalid(into, BlockStatus.UNSUPP);
  }
}

function parseTransfer(
  kind: 'read' | 'write',
  sector: number,
  length: number,
  limits: BlockLimits,
  into: ParsedRequest,
): void {
  const refused = kind === 'write' && limits.readOnly;
  if (refused || length % SECTOR_BYTES !== 0 || sector + length / SECTOR_BYTES > limits.capacitySectors) {
    return invalid(into, BlockStatus.IOERR);
  }
  into.kind = kind;
  addRange(into, sector * SECTOR_BYTES, length, false);
}

function parseRanges(kind: 'discard' | 'writeZeroes', chain: Chain, limits: BlockLimits, into: ParsedRequest): void {
  const bytes = chain.readableBytes - BlockHeader.BYTES;
  const count = bytes / BlockRange.BYTES;
  if (limits.readOnly || !Number.isInteger(count) || count === 0 || count > limits.maxRanges) {
    return invalid(into, BlockStatus.IOERR);
  }
  for (let n = 0; n < count; n++) {
    const at = BlockHeader.BYTES + n * BlockRange.BYTES;
    const sector = joinU64(chain.readU32(at), chain.readU32(at + 4));
    const sectors = chain.readU32(at + BlockRange.NUM_SECTORS);
    const flags = chain.readU32(at + BlockRange.FLAGS);
    if ((flags & ~RANGE_UNMAP) !== 0 || (kind === 'discard' && flags !== 0)) return invalid(into, BlockStatus.UNSUPP);
    if (sectors > limits.maxRangeSectors || sector + sectors > limits.capacitySectors) {
      return invalid(into, BlockStatus.IOERR);
    }
    addRange(into, sector * SECTOR_BYTES, sectors * SECTOR_BYTES, (flags & RANGE_UNMAP) !== 0);
  }
  into.kind = kind;
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

function invalid(into: ParsedRequest, status: number): void {
  into.kind = 'invalid';
  into.status = status;
}
