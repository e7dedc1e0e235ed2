import { DeviceId } from '../../spec/device-ids.ts';
import { BlockFeature, BlockStatus, BlockType } from '../block-format.ts';
import { type BlockRequest, onRequests, type Range, rangesOf, sectorsOf } from '../block-requests.ts';
import type { HexBytes } from '../ring-memory.ts';
import type { Rule } from '../rule.ts';
import type { BufferUsed, Located } from '../trace.ts';
import { isChanging } from '../zones.ts';
import { ofType } from './device-type.ts';

/** Of how many places a judge remembers what is there. */
const MOST_PLACES = 256;

/** The bytes that two beginnings of the same data have in common are the same. */
function agree(a: HexBytes, b: HexBytes): boolean {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a.u8(at) !== b.u8(at)) return false;
  return true;
}

/** Makes room for one more, at the cost of the oldest. */
function trim(places: Map<number, unknown>): void {
  const [oldest] = places.keys();
  if (places.size > MOST_PLACES && oldest !== undefined) places.delete(oldest);
}

/** What is read where something was refused is what was there before, as far as the trace has it. */
export const readOnlyStays: Rule = {
  id: 'blk.device.op.4',
  section: '§5.2.6.2',
  level: 'MUST NOT',
  role: 'device',
  text: 'What is written to a read-only disk does not change it.',
  check: ofType(DeviceId.BLOCK, (findings) => {
    const { session, passed, failed } = findings;
    const before = new Map<number, HexBytes>();
    const refused = new Map<number, BlockRequest>();
    return onRequests(findings, {
      asked: (request) => {
        const was = before.get(request.sector);
        if (request.type !== BlockType.OUT || was === undefined || !session.offers(BlockFeature.RO)) return;
        if (request.data.length > 0 && !agree(was, request.data)) refused.set(request.sector, request);
      },
      answered: ({ type, sector, event }, answer) => {
        if (type !== BlockType.IN || answer?.status !== BlockStatus.OK || answer.head.length === 0) return;
        const write = refused.get(sector);
        // A read that was made before the write says nothing of it.
        if (write === undefined || write.event.line > event.line) before.set(sector, answer.head);
        else if (agree(answer.head, write.data))
          failed(`sector ${sector} of a read-only disk has changed`, write.event);
        else passed();
        trim(before);
        trim(refused);
      },
    });
  }),
};

interface Zeroed extends Range {
  readonly done: Located<BufferUsed>;
}

/** Zeroing that was done with nothing else out that changes the disk, and what is read before anything else is changed. */
export const zeroesAreRead: Rule = {
  id: 'blk.device.op.9',
  section: '§5.2.6.2',
  level: 'MUST',
  role: 'device',
  text: 'What was zeroed reads as zeroes.',
  check: ofType(DeviceId.BLOCK, (findings) => {
    const { passed, failed } = findings;
    let zeroed: readonly Zeroed[] = [];
    return onRequests(findings, {
      asked: (request) => {
        if (isChanging(request)) zeroed = [];
      },
      answered: (request, answer) => {
        if (answer?.status !== BlockStatus.OK || !answer.isAlone) return;
        const { type, sector, event } = request;
        const end = sector + sectorsOf(request);
        if (type === BlockType.WRITE_ZEROES) {
          zeroed = rangesOf(request).map((range) => ({ ...range, done: answer.event }));
        } else if (type === BlockType.IN && answer.head.length > 0) {
          const range = zeroed.find((r) => sector >= r.sector && end <= r.sector + r.sectors);
          if (range === undefined || range.done.line > event.line) return;
          if (isZero(answer.head, request.writable)) passed();
          else failed(`sector ${sector} was zeroed, and does not read so`, range.done);
        }
      },
    });
  }),
};

function isZero(bytes: HexBytes, length: number): boolean {
  for (let at = 0; at < Math.min(bytes.length, length); at++) if (bytes.u8(at) !== 0) return false;
  return true;
}
