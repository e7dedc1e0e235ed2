import { DeviceId } from '../../spec/device-ids.ts';
import { BlockFeature, BlockField, BlockRange, BlockStatus, BlockType } from '../block-format.ts';
import { rangesOf } from '../block-requests.ts';
import type { Requirement } from '../rule.ts';
import type { ConfigChanged, ConfigRead, Located } from '../trace.ts';
import { readOnlyStays, zeroesAreRead } from './block-data.ts';
import { answerRules, expectStatus } from './block-rules.ts';
import { ofType, PERMISSION, type SentencesOf, unseenEach, unseenOf } from './device-type.ts';

const { OUT, GET_LIFETIME, DISCARD, WRITE_ZEROES, SECURE_ERASE } = BlockType;
const { OK, IOERR, UNSUPP } = BlockStatus;
const device: SentencesOf = { prefix: 'blk.device.op', section: '§5.2.6.2', role: 'device' };

const RANGED: readonly number[] = [DISCARD, SECURE_ERASE, WRITE_ZEROES];
const ABOUT_ZONES: readonly number[] = [
  BlockType.ZONE_APPEND,
  BlockType.ZONE_REPORT,
  BlockType.ZONE_OPEN,
  BlockType.ZONE_CLOSE,
  BlockType.ZONE_FINISH,
  BlockType.ZONE_RESET,
  BlockType.ZONE_RESET_ALL,
];

/** The last figure of each of the three fields of a lifetime that means something. */
const LIFETIME = [3, 11, 11];

/** What becomes of requests to a block device (§5.2.6.2), but of those about zones. */
export const blockDevice: readonly Requirement[] = [
  {
    id: 'blk.device.op.2',
    section: '§5.2.6.2',
    level: 'SHOULD',
    role: 'device',
    text: 'A change of the capacity is told.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      /** One that came at rest is suspend.device.7. */
      let change: Located<ConfigChanged> | undefined;
      return {
        'config.changed': (event) => {
          if (session.device === 'running') change ??= event;
        },
        interrupt: ({ cause }) => {
          if (cause !== 'config' || change === undefined) return;
          passed();
          change = undefined;
        },
        'device.phase': ({ to }) => {
          if (to === 'resetting' || to === 'needsReset') change = undefined;
        },
        end: () => {
          if (change !== undefined && session.device === 'running') failed('a change is never told', change);
        },
      };
    }),
  },
  readOnlyStays,
  zeroesAreRead,
  {
    id: 'blk.device.op.12',
    section: '§5.2.6.2',
    level: 'SHOULD',
    role: 'device',
    text: 'A change of what zeroing can unmap is told.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      let read: Located<ConfigRead> | undefined;
      let change: readonly Located<ConfigRead>[] | undefined;
      let isTold = false;
      return {
        'config.read': (event) => {
          if (event.offset !== BlockField.WRITE_ZEROES_MAY_UNMAP || session.device !== 'running') return;
          if (read !== undefined && read.value !== event.value) {
            if (isTold) passed();
            else change = [read, event];
          }
          read = event;
          isTold = false;
        },
        interrupt: ({ cause }) => {
          if (cause !== 'config') return;
          isTold = true;
          if (change !== undefined) passed();
          change = undefined;
        },
        'device.phase': ({ to }) => {
          if (to === 'resetting' || to === 'needsReset') read = change = undefined;
        },
        end: () => {
          if (change !== undefined && session.device === 'running') failed('a change is never told', ...change);
        },
      };
    }),
  },
  ...answerRules(device, {
    3: [
      'MUST',
      'A write to a read-only disk ends with IOERR.',
      expectStatus(({ type }, session) => type === OUT && session.offers(BlockFeature.RO), IOERR),
    ],
    5: [
      'MUST',
      'Flags of a segment that are not known end with UNSUPP.',
      expectStatus((request, session) => {
        if (!RANGED.includes(request.type) || session.offers(BlockFeature.RO)) return false;
        if (request.readable % BlockRange.BYTES !== 0) return false;
        return rangesOf(request).some(({ flags }) => (flags & ~BlockRange.UNMAP) !== 0);
      }, UNSUPP),
    ],
    6: [
      'MUST',
      'A discard that asks to unmap ends with UNSUPP.',
      expectStatus((request, session) => {
        if (request.type !== DISCARD || session.offers(BlockFeature.RO)) return false;
        if (request.readable % BlockRange.BYTES !== 0) return false;
        return rangesOf(request).some(({ flags }) => flags === BlockRange.UNMAP);
      }, UNSUPP),
    ],
    17: [
      'MUST NOT',
      'No figure of a lifetime is a reserved one.',
      ({ type }, { status, head }) => {
        if (type !== GET_LIFETIME || status !== OK || head.length < 6) return 'other';
        const wrong = LIFETIME.findIndex((last, n) => head.u16(2 * n) > last);
        return wrong < 0 ? undefined : `field ${wrong} of a lifetime is ${head.u16(2 * wrong)}`;
      },
    ],
    18: [
      'MUST',
      'Without ZONED, requests about zones end with UNSUPP.',
      expectStatus(({ type }, session) => ABOUT_ZONES.includes(type) && !session.has(BlockFeature.ZONED), UNSUPP),
    ],
  }),
  ...unseenEach(device, {
    10: [
      'SHOULD',
      'Where zeroing can never unmap, the field for that says so.',
      'Whether storage is given back shows on the disk alone, which is behind the device.',
    ],
    13: [
      'MUST',
      'What is to be stable is so before its request is told to be done.',
      'It shows when the power is lost, and the disk is looked at afterwards.',
    ],
    15: [
      'SHOULD',
      'LIFETIME is offered where the disk knows its own.',
      'What a disk knows of itself is behind the device.',
    ],
    16: [
      'MUST NOT',
      'LIFETIME is not offered where the disk does not.',
      'What a disk knows of itself is behind the device; figures may be 0 for unknown.',
    ],
  }),
  ...unseenOf(device, PERMISSION, {
    1: ['MAY', 'The capacity may change at any time.'],
    7: ['MAY', 'A discard may give storage back.'],
    8: ['MAY', 'Zeroing with unmap may give storage back.'],
    11: ['MAY', 'What zeroing can unmap may change at any time.'],
    14: ['MAY', 'Without FLUSH, writes may be stable when they are done.'],
  }),
];
