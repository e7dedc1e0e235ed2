import { DeviceId } from '../../spec/device-ids.ts';
import { BlockFeature, BlockField, BlockStatus, BlockType, ZoneState, ZoneType } from '../block-format.ts';
import { type BlockRequest, onRequests, rangesOf, sectorsOf } from '../block-requests.ts';
import type { Requirement } from '../rule.ts';
import type { Session } from '../session.ts';
import type { BufferUsed, Located } from '../trace.ts';
import { isChanging, zonesIn } from '../zones.ts';
import { answerRules, expectStatus, type JudgeAnswer } from './block-rules.ts';
import { ofType, PERMISSION, type SentencesOf, unseenEach, unseenOf } from './device-type.ts';

const { IN, OUT, SECURE_ERASE, ZONE_APPEND, ZONE_REPORT } = BlockType;
const { ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET } = BlockType;
const { OK, UNSUPP, ZONE_INVALID_CMD, ZONE_UNALIGNED_WP, ZONE_OPEN_RESOURCE, ZONE_ACTIVE_RESOURCE } = BlockStatus;
const device: SentencesOf = { prefix: 'blk.device.op', section: '§5.2.6.2', role: 'device' };

const TO_ONE_ZONE: readonly number[] = [ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET];
const WRITES: readonly number[] = [OUT, ZONE_APPEND];
/** Zones in these states are what `z_wp` has a meaning for. */
const WRITABLE: readonly (number | undefined)[] = [ZoneState.EMPTY, 2, 3, ZoneState.CLOSED];

/** The answer has to be ZONE_INVALID_CMD, with zones, where this holds. */
function invalid(when: (request: BlockRequest, session: Session) => boolean): JudgeAnswer {
  return expectStatus(
    (request, session) => session.has(BlockFeature.ZONED) && when(request, session),
    ZONE_INVALID_CMD,
  );
}

/** A zone that can only be read cannot go into any state that is asked for. */
function stuck(type: number): JudgeAnswer {
  return invalid((request) => request.type === type && request.zone?.state === ZoneState.READ_ONLY);
}

/** What is missing is something of which there is not enough for everybody. */
function scarce(types: readonly number[]): JudgeAnswer {
  return ({ type }, { status }, session) => {
    if (!session.has(BlockFeature.ZONED) || !types.includes(type)) return 'other';
    const isActive = status === ZONE_ACTIVE_RESOURCE;
    if (!isActive && status !== ZONE_OPEN_RESOURCE) return 'other';
    const limit = session.configured(isActive ? BlockField.MAX_ACTIVE_ZONES : BlockField.MAX_OPEN_ZONES, 4);
    if (limit === undefined) return 'other';
    return limit > 0 ? undefined : `status ${status}, and there is no limit`;
  };
}

function zoneSectors(session: Session): number | undefined {
  return session.configured(BlockField.ZONE_SECTORS, 4) || undefined;
}

function isSequential({ zone }: BlockRequest): boolean {
  return zone?.type === ZoneType.SEQUENTIAL_REQUIRED;
}

/** Sectors of more than one zone. */
function crosses(request: BlockRequest, session: Session): boolean {
  const [size, sectors] = [zoneSectors(session), sectorsOf(request)];
  if (size === undefined || sectors === 0) return false;
  return Math.floor(request.sector / size) !== Math.floor((request.sector + sectors - 1) / size);
}

/** An append of more than there can be. */
function isTooLong(request: BlockRequest, session: Session, wanted: (most: number) => boolean): boolean {
  const most = session.configured(BlockField.MAX_APPEND_SECTORS, 4);
  return request.type === ZONE_APPEND && most !== undefined && wanted(most) && sectorsOf(request) > most;
}

function isAppendable(request: BlockRequest, session: Session): boolean {
  return !isTooLong(request, session, () => true);
}

/** Requests about zones (§5.2.6.2). */
export const blockZones: readonly Requirement[] = [
  ...answerRules(device, {
    19: [
      'MUST',
      'A conventional zone is neither opened, closed, finished nor reset.',
      invalid(({ type, zone }) => TO_ONE_ZONE.includes(type) && zone?.type === ZoneType.CONVENTIONAL),
    ],
    20: [
      'MUST',
      'An append is for zones that have to be written in order.',
      invalid((request, session) => {
        const { type, zone } = request;
        return type === ZONE_APPEND && zone !== undefined && !isSequential(request) && isAppendable(request, session);
      }),
    ],
    21: ['MUST', 'A zone that cannot be opened ends the request with ZONE_INVALID_CMD.', stuck(ZONE_OPEN)],
    22: [
      'MUST',
      'A zone for which there is nothing left stays as it is, and the answer says what is missing.',
      scarce([ZONE_OPEN]),
    ],
    23: ['MUST', 'A zone that cannot be closed ends the request with ZONE_INVALID_CMD.', stuck(ZONE_CLOSE)],
    24: ['MUST', 'A zone that cannot be finished ends the request with ZONE_INVALID_CMD.', stuck(ZONE_FINISH)],
    25: ['MUST', 'A zone that cannot be reset ends the request with ZONE_INVALID_CMD.', stuck(ZONE_RESET)],
    26: ['MUST', 'A write for whose zone there is nothing left says what is missing.', scarce(WRITES)],
    27: [
      'MUST',
      'An append that is not to the first sector of a zone ends with ZONE_INVALID_CMD.',
      invalid((request, session) => {
        const size = zoneSectors(session);
        const isInside = request.type === ZONE_APPEND && size !== undefined && request.sector % size !== 0;
        return isInside && isAppendable(request, session);
      }),
    ],
    28: [
      'MUST',
      'A write behind what can be written of a zone ends with ZONE_INVALID_CMD.',
      (request, answer, session) => {
        const { type, sector, zone } = request;
        if (!session.has(BlockFeature.ZONED) || !WRITES.includes(type) || zone === undefined) return 'other';
        if (!isSequential(request) || crosses(request, session) || !isAppendable(request, session)) return 'other';
        const end = (type === OUT ? sector : (zone.pointer ?? zone.start)) + sectorsOf(request);
        if (end <= zone.start + zone.capacity) return 'other';
        // One that is not at the write pointer, too, may be told so.
        const isTold = answer.status === ZONE_INVALID_CMD || (type === OUT && answer.status === ZONE_UNALIGNED_WP);
        return isTold ? undefined : `a write to sector ${end} ends with status ${answer.status}`;
      },
    ],
    29: [
      'MUST',
      'An append answers with the first sector that it has written.',
      (request, { status, tail }, session) => {
        const size = zoneSectors(session);
        if (!session.has(BlockFeature.ZONED) || request.type !== ZONE_APPEND || status !== OK) return 'other';
        if (size === undefined || tail.length < 9) return 'other';
        const at = tail.u64(tail.length - 9);
        const isInside = at >= request.sector && at + sectorsOf(request) <= request.sector + size;
        return isInside ? undefined : `it answers with sector ${at}, which is not in the zone`;
      },
    ],
    30: [
      'MUST',
      'An append to a disk that has none ends with UNSUPP.',
      expectStatus(
        (request, session) => session.has(BlockFeature.ZONED) && isTooLong(request, session, (most) => most === 0),
        UNSUPP,
      ),
    ],
    31: [
      'MUST',
      'An append that is too long ends with ZONE_INVALID_CMD.',
      invalid((request, session) => isTooLong(request, session, (most) => most > 0)),
    ],
    32: [
      'MUST',
      'What crosses the border of a sequential zone ends with ZONE_INVALID_CMD.',
      invalid((request, session) => {
        const isData = request.type === IN || WRITES.includes(request.type);
        return isData && isSequential(request) && isAppendable(request, session) && crosses(request, session);
      }),
    ],
    33: [
      'MUST',
      'A write that is not at the write pointer ends with ZONE_UNALIGNED_WP.',
      (request, { status }, session) => {
        const { type, sector, zone } = request;
        if (!session.has(BlockFeature.ZONED) || type !== OUT || !isSequential(request)) return 'other';
        if (zone?.pointer === undefined || !WRITABLE.includes(zone.state) || sector === zone.pointer) return 'other';
        if (status === ZONE_UNALIGNED_WP) return undefined;
        // One that is too long, too, may be told so.
        const isLong = sector + sectorsOf(request) > zone.start + zone.capacity;
        if (isLong && status === ZONE_INVALID_CMD) return 'other';
        return `a write to sector ${sector} ends with status ${status}, and the write pointer is at ${zone.pointer}`;
      },
    ],
    35: [
      'MUST',
      'A write to a read-only zone ends with ZONE_INVALID_CMD.',
      invalid((request, session) => {
        const isWrite = WRITES.includes(request.type) && isAppendable(request, session);
        return isWrite && request.zone?.state === ZoneState.READ_ONLY;
      }),
    ],
    36: [
      'MUST',
      'Anything of an offline zone ends with ZONE_INVALID_CMD.',
      invalid((request, session) => {
        const isForZone = [IN, ...WRITES, ...TO_ONE_ZONE].includes(request.type) && isAppendable(request, session);
        return isForZone && request.zone?.state === ZoneState.OFFLINE;
      }),
    ],
    40: [
      'MUST',
      'With zones a secure erase that is not of whole zones is not done.',
      (request, { status }, session) => {
        const size = zoneSectors(session);
        const ranges = rangesOf(request);
        if (!session.has(BlockFeature.ZONED) || request.type !== SECURE_ERASE || size === undefined) return 'other';
        const part = ranges.find(({ sectors }) => sectors % size !== 0);
        return part === undefined || status !== OK
          ? undefined
          : `${part.sectors} sectors are erased of zones of ${size}`;
      },
    ],
  }),
  {
    id: 'blk.device.op.39',
    section: '§5.2.6.2',
    level: 'MUST',
    role: 'device',
    text: 'With zones the alignment of secure erases is a multiple of theirs.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        if (offset !== BlockField.SECURE_ERASE_ALIGNMENT && offset !== BlockField.ZONE_SECTORS) return;
        if (!session.has(BlockFeature.ZONED) || !session.has(BlockFeature.SECURE_ERASE)) return;
        const [isSize, other] = [offset === BlockField.ZONE_SECTORS, BlockField.SECURE_ERASE_ALIGNMENT];
        const alignment = isSize ? session.configured(other, 4) : value;
        const size = isSize ? value : zoneSectors(session);
        if (alignment === undefined || size === undefined || size === 0) return;
        if (alignment % size === 0) passed();
        else failed(`erases are aligned to ${alignment} sectors, and zones have ${size}`);
      },
    })),
  },
  {
    id: 'blk.device.op.41',
    section: '§5.2.6.2',
    level: 'MUST',
    role: 'device',
    text: 'A secure erase is for a zone what its reset is.',
    check: ofType(DeviceId.BLOCK, (findings) => {
      const { session, passed, failed } = findings;
      let erased: Located<BufferUsed> | undefined;
      let starts: readonly number[] = [];
      return onRequests(findings, {
        asked: (request) => {
          if (isChanging(request)) starts = [];
        },
        answered: (request, answer) => {
          if (!session.has(BlockFeature.ZONED) || answer?.status !== OK || !answer.isAlone) return;
          if (request.type === SECURE_ERASE) {
            starts = rangesOf(request).map(({ sector }) => sector);
            erased = answer.event;
          } else if (request.type === ZONE_REPORT && (erased?.line ?? 0) < request.event.line) {
            for (const { start, state, type } of zonesIn(answer.head)) {
              if (!starts.includes(start) || type === ZoneType.CONVENTIONAL) continue;
              if (state === ZoneState.EMPTY) passed();
              else failed(`the zone at sector ${start} was erased, and is in state ${state}`, erased);
            }
          }
        },
      });
    }),
  },
  ...unseenEach(device, {
    37: [
      'MUST',
      'What is behind the write pointer of a zone counts as not written.',
      'What counts as not written shows when it is read, and may read as anything: blk.device.op.38.',
    ],
    38: [
      'MUST',
      'What was never written reads as a pattern, or not at all.',
      "The pattern is the device's own choice and is told nowhere, so that no bytes can be the wrong ones.",
    ],
  }),
  ...unseenOf(device, PERMISSION, {
    34: ['MAY', 'Zones that opened by themselves may close by themselves.'],
  }),
];
