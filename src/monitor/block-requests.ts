import { BlockHeader, BlockRange, BlockStatus, BlockType, SECTOR_BYTES } from './block-format.ts';
import { HexBytes } from './ring-memory.ts';
import type { Check, Findings } from './rule.ts';
import type { BufferAvailable, BufferUsed, Located } from './trace.ts';
import { isChanging, type Zone, Zones } from './zones.ts';

/** A request to a block device whose header the trace has. */
export interface BlockRequest {
  readonly event: Located<BufferAvailable>;
  readonly type: number;
  readonly sector: number;
  /** Bytes between the header and what the device writes, and of what it writes before the status. */
  readonly readable: number;
  readonly writable: number;
  /** What comes behind the header, as far as it is known. */
  readonly data: HexBytes;
  /** What is known of the zone of its sector when it is made. */
  readonly zone: Zone | undefined;
  /** Another number for each time at which something may have changed. */
  readonly moment: number;
}

export interface BlockAnswer {
  readonly event: Located<BufferUsed>;
  readonly status: number;
  /** The beginning of what the device has written, and its end with the status. */
  readonly head: HexBytes;
  readonly tail: HexBytes;
  /** Nothing that may change the disk was out together with the request. */
  readonly isAlone: boolean;
}

export interface RequestHandlers {
  readonly asked?: (request: BlockRequest) => void;
  /** An answer is unknown where nobody looked in time. */
  readonly answered?: (request: BlockRequest, answer: BlockAnswer | undefined) => void;
}

/** How many whole sectors of data a request has. */
export function sectorsOf({ type, readable, writable }: BlockRequest): number {
  return Math.floor((type === BlockType.IN ? writable : readable) / SECTOR_BYTES);
}

export interface Range {
  readonly sector: number;
  readonly sectors: number;
  readonly flags: number;
}

/** The ranges of a discard, an erase or zeroing, as far as they are known. */
export function rangesOf({ data }: BlockRequest): readonly Range[] {
  const count = Math.floor(data.length / BlockRange.BYTES);
  return Array.from({ length: count }, (_, n) => {
    const at = n * BlockRange.BYTES;
    return {
      sector: data.u64(at + BlockRange.SECTOR),
      sectors: data.u32(at + BlockRange.SECTORS),
      flags: data.u32(at + BlockRange.FLAGS),
    };
  });
}

/** Follows the requests of a trace from their making to their answer. */
export function onRequests({ session }: Findings, { asked, answered }: RequestHandlers): Check {
  const out = new Map<string, BlockRequest>();
  const zones = new Zones(session);
  let moment = 0;
  const clear = (): void => {
    out.clear();
    moment++;
  };
  return {
    'buffer.available': (event) => {
      const { queue, id, readable, writable } = event;
      const head = new HexBytes(session.contentsOf(event, 'driver')?.head ?? '');
      out.delete(`${queue}:${id}`);
      if (head.length < BlockHeader.BYTES || readable === undefined || writable === undefined || writable === 0) return;
      const [type, sector] = [head.u32(BlockHeader.TYPE), head.u64(BlockHeader.SECTOR)];
      const zone = zones.at(sector, moment);
      if (isChanging({ type })) moment++;
      const data = head.from(BlockHeader.BYTES);
      const bytes = { readable: readable - BlockHeader.BYTES, writable: writable - 1 };
      const request = { event, type, sector, ...bytes, data, zone, moment };
      out.set(`${queue}:${id}`, request);
      asked?.(request);
    },
    'buffer.used': (event) => {
      const key = `${event.queue}:${event.id}`;
      const request = out.get(key);
      out.delete(key);
      if (request === undefined) return;
      const { head, tail } = session.contentsOf(event, 'device') ?? {};
      const isAlone = request.moment === moment && ![...out.values()].some(isChanging);
      const answer = answerOf(event, new HexBytes(head ?? ''), new HexBytes(tail ?? ''), isAlone);
      if (isChanging(request)) moment++;
      const isReport = request.type === BlockType.ZONE_REPORT && answer?.status === BlockStatus.OK;
      answered?.(request, answer);
      if (isReport && isAlone) zones.learn(answer.head, moment);
    },
    'queue.reset': clear,
    'device.phase': ({ to }) => {
      if (to === 'resetting') clear();
    },
  };
}

function answerOf(
  event: Located<BufferUsed>,
  head: HexBytes,
  tail: HexBytes,
  isAlone: boolean,
): BlockAnswer | undefined {
  return tail.length === 0 ? undefined : { event, status: tail.u8(tail.length - 1), head, tail, isAlone };
}
