import { DeviceId } from '../../spec/device-ids.ts';
import { hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { BlockFeature, BlockField, BlockRange, BlockType, SECTOR_BYTES, ZoneType } from '../block-format.ts';
import { type BlockRequest, rangesOf, sectorsOf } from '../block-requests.ts';
import type { Requirement } from '../rule.ts';
import type { Session } from '../session.ts';
import { capacityIsReadAgain } from './block-capacity.ts';
import { type JudgeRequest, requestRules } from './block-rules.ts';
import { ofType, PERMISSION, type SentencesOf, unseenEach, unseenOf } from './device-type.ts';

const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, SECURE_ERASE } = BlockType;
const { ZONE_APPEND, ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET, ZONE_RESET_ALL } = BlockType;
const driver: SentencesOf = { prefix: 'blk.driver.op', section: '§5.2.6.1', role: 'driver' };

/** A judge of requests of some types alone. */
function ofTypes(types: readonly number[], judge: JudgeRequest): JudgeRequest {
  return (request, session) => (types.includes(request.type) ? judge(request, session) : 'other');
}

/** No more segments than a field of the configuration space says. */
function segmentsWithin(type: number, field: number): JudgeRequest {
  return ofTypes([type], ({ readable }, session) => {
    const most = session.configured(field, 4);
    if (most === undefined) return 'other';
    const segments = Math.floor(readable / BlockRange.BYTES);
    return segments <= most ? undefined : `${segments} segments, and the device takes ${most}`;
  });
}

/** A field of a disk with zones; undefined where it is not known. */
function zoned(session: Session, field: number): number | undefined {
  return session.has(BlockFeature.ZONED) ? session.configured(field, 4) : undefined;
}

function atStartOfZone(types: readonly number[]): JudgeRequest {
  return ofTypes(types, ({ sector }, session) => {
    const size = zoned(session, BlockField.ZONE_SECTORS);
    if (size === undefined || size === 0) return 'other';
    return sector % size === 0 ? undefined : `sector ${sector} is not the first one of a zone of ${size}`;
  });
}

/** What is wrong with a write to a zone that has to be written in order. */
function misplaced(request: BlockRequest, granularity: number): string | undefined {
  const { zone, sector, type, readable } = request;
  if (readable % granularity !== 0) return `${readable} bytes are no multiple of ${granularity}`;
  if ((sector * SECTOR_BYTES) % granularity !== 0)
    return `sector ${sector} is not at a multiple of ${granularity} bytes`;
  if (zone?.pointer === undefined) return undefined;
  const end = (type === OUT ? Math.max(sector, zone.pointer) : zone.pointer) + sectorsOf(request);
  return end <= zone.start + zone.capacity ? undefined : `it would end at sector ${end}, behind what can be written`;
}

/** Requests of a block driver (§5.2.6.1). */
export const blockDriver: readonly Requirement[] = [
  {
    id: 'blk.driver.op.3',
    section: '§5.2.6.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'RO is accepted where it is offered.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        if ((value & Status.FEATURES_OK) === 0 || (value & Status.DRIVER_OK) !== 0) return;
        if (!session.offers(BlockFeature.RO)) return;
        if (hasFeature(session.accepted, BlockFeature.RO)) passed();
        else failed('the disk is read-only, and the driver does not accept that');
      },
    })),
  },
  ...requestRules(driver, {
    2: [
      'MUST NOT',
      'No request goes past the capacity.',
      ofTypes([IN, OUT], (request, session) => {
        const [low, high] = [
          session.configured(BlockField.CAPACITY, 4),
          session.configured(BlockField.CAPACITY + 4, 4),
        ];
        if (low === undefined || high === undefined) return 'other';
        const [end, capacity] = [request.sector + sectorsOf(request), low + high * 0x1_0000_0000];
        return end <= capacity ? undefined : `it ends at sector ${end} of ${capacity}`;
      }),
    ],
    4: [
      'MUST',
      'A flush is of sector 0.',
      ofTypes([FLUSH], ({ sector }) => (sector === 0 ? undefined : `a flush of sector ${sector}`)),
    ],
    5: [
      'SHOULD NOT',
      'A flush has no data.',
      ofTypes([FLUSH], ({ readable, writable }) =>
        readable + writable === 0 ? undefined : `a flush with ${readable + writable} bytes of data`,
      ),
    ],
    6: [
      'MUST',
      'The data of reads and writes are whole sectors.',
      ofTypes([IN, OUT], ({ type, readable, writable }) => {
        const bytes = type === IN ? writable : readable;
        return bytes % SECTOR_BYTES === 0 ? undefined : `${bytes} bytes of data`;
      }),
    ],
    7: [
      'MUST',
      'What discards, erases and zeroes has whole segments.',
      ofTypes([DISCARD, SECURE_ERASE, WRITE_ZEROES], ({ readable }) =>
        readable % BlockRange.BYTES === 0 ? undefined : `${readable} bytes of segments`,
      ),
    ],
    8: [
      'MUST',
      'The name of a disk gets 20 bytes.',
      ofTypes([GET_ID], ({ writable }) => (writable === 20 ? undefined : `${writable} bytes for the name`)),
    ],
    9: [
      'MUST NOT',
      'A discard has no more segments than the device takes.',
      segmentsWithin(DISCARD, BlockField.MAX_DISCARD_SEG),
    ],
    10: [
      'MUST NOT',
      'A secure erase has no more segments than the device takes.',
      segmentsWithin(SECURE_ERASE, BlockField.MAX_SECURE_ERASE_SEG),
    ],
    11: [
      'MUST NOT',
      'A write of zeroes has no more segments than the device takes.',
      segmentsWithin(WRITE_ZEROES, BlockField.MAX_WRITE_ZEROES_SEG),
    ],
    14: [
      'MUST',
      'A discard does not ask to unmap.',
      ofTypes([DISCARD], (request) =>
        rangesOf(request).some(({ flags }) => (flags & BlockRange.UNMAP) !== 0) ? 'a discard asks to unmap' : undefined,
      ),
    ],
    20: [
      'MUST',
      'Opening, closing, finishing and resetting a zone is of its first sector.',
      atStartOfZone([ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET]),
    ],
    21: [
      'MUST',
      'Resetting all zones is of sector 0.',
      ofTypes([ZONE_RESET_ALL], ({ sector }, session) => {
        if (!session.has(BlockFeature.ZONED)) return 'other';
        return sector === 0 ? undefined : `all zones are reset with sector ${sector}`;
      }),
    ],
    22: ['MUST', 'An append is of the first sector of its zone.', atStartOfZone([ZONE_APPEND])],
    23: [
      'MUST',
      'An append is a multiple of the granularity of writes.',
      ofTypes([ZONE_APPEND], ({ readable }, session) => {
        const granularity = zoned(session, BlockField.WRITE_GRANULARITY);
        if (granularity === undefined || granularity === 0) return 'other';
        return readable % granularity === 0 ? undefined : `${readable} bytes are no multiple of ${granularity}`;
      }),
    ],
    24: [
      'MUST NOT',
      'An append is no longer than the device takes.',
      ofTypes([ZONE_APPEND], (request, session) => {
        const most = zoned(session, BlockField.MAX_APPEND_SECTORS);
        if (most === undefined) return 'other';
        const sectors = sectorsOf(request);
        return sectors <= most ? undefined : `${sectors} sectors are appended, and the device takes ${most}`;
      }),
    ],
    26: [
      'MUST',
      'Writes to sequential zones are aligned, and fit.',
      ofTypes([OUT, ZONE_APPEND], (request, session) => {
        const granularity = zoned(session, BlockField.WRITE_GRANULARITY);
        const type = request.zone?.type;
        const isSequential = type === ZoneType.SEQUENTIAL_REQUIRED || type === ZoneType.SEQUENTIAL_PREFERRED;
        if (granularity === undefined || granularity === 0 || !isSequential) return 'other';
        return misplaced(request, granularity);
      }),
    ],
  }),
  capacityIsReadAgain,
  ...unseenEach(driver, {
    13: [
      'MUST NOT',
      'A change to writethrough makes nothing stable that was written before.',
      'What a driver tells its own users to be stable is inside it.',
    ],
    15: [
      'MUST NOT',
      'Nothing is known of sectors that were discarded.',
      'A driver may read them; what it makes of that is inside it.',
    ],
    16: [
      'MUST NOT',
      'An error of a request with several segments says nothing of each of them.',
      'Whether a driver takes a segment for done, and so does not ask again, is inside it.',
    ],
    17: [
      'MUST',
      'Sectors of zones are multiples of 512 bytes.',
      'The field counts sectors of 512 bytes, so that there is no value which is none.',
    ],
    18: [
      'MUST',
      'A report begins in the first zone that is wanted.',
      'Which zones are wanted is inside the driver; every sector is in some zone.',
    ],
  }),
  ...unseenOf(driver, PERMISSION, {
    12: ['MAY', 'With CONFIG_WCE the driver may change the cache mode.'],
    19: ['MAY', 'A report may begin in the middle of a zone.'],
    25: ['MAY', 'The answer of an append may be used to learn where the data are.'],
  }),
];
