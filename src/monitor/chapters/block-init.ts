import { DeviceId } from '../../spec/device-ids.ts';
import { Feature, hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { BlockFeature, BlockField, ZonedModel } from '../block-format.ts';
import type { Check, Findings, Requirement, Rule } from '../rule.ts';
import type { Session } from '../session.ts';
import type { ConfigRead, Located } from '../trace.ts';
import { ofType, PERMISSION, type SentencesOf, unseenEach, unseenOf } from './device-type.ts';

const { SIZE_MAX, SEG_MAX, FLUSH, CONFIG_WCE, DISCARD, ZONED } = BlockFeature;
const { WRITEBACK, ZONE_SECTORS, MAX_APPEND_SECTORS, WRITE_GRANULARITY, ZONED_MODEL } = BlockField;
const { NONE, HOST_MANAGED, HOST_AWARE } = ZonedModel;

/** Calls back when the driver has chosen its features, before the device has answered. */
function whenChosen(then: () => void): Check {
  return {
    'status.write': ({ value }) => {
      if ((value & Status.FEATURES_OK) !== 0 && (value & Status.DRIVER_OK) === 0) then();
    },
  };
}

/** Fields that keep a place free, and read 0. */
function readsZero(places: readonly (readonly [from: number, to: number])[]): (findings: Findings) => Check {
  return ({ passed, failed }) => ({
    'config.read': ({ offset, value }) => {
      if (!places.some(([from, to]) => offset >= from && offset < to)) return;
      if (value === 0) passed();
      else failed(`offset ${offset} is no field, and reads ${value}`);
    },
  });
}

function isAsked(session: Session): boolean {
  return (session.known & Status.FEATURES_OK) !== 0;
}

/** A field of a disk with zones that is never 0. */
function neverZero(n: number, text: string, field: number): Rule {
  return {
    id: `blk.device.init.${n}`,
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text,
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        const model = session.configured(ZONED_MODEL, 1);
        if (offset !== field || !session.has(ZONED) || (model !== HOST_MANAGED && model !== HOST_AWARE)) return;
        if (value !== 0) passed();
        else failed(`offset ${field} reads 0`);
      },
    })),
  };
}

const driver: SentencesOf = { prefix: 'blk.driver.init', section: '§5.2.5.1', role: 'driver' };
const device: SentencesOf = { prefix: 'blk.device.init', section: '§5.2.5.2', role: 'device' };

/** How a block device is initialised (§5.2.5). */
export const blockInit: readonly Requirement[] = [
  ...unseenEach(driver, {
    1: [
      'SHOULD NOT',
      'A driver that cannot flush does not accept FLUSH.',
      'One that never flushes may have had no reason to.',
    ],
    3: [
      'SHOULD',
      'With FLUSH, and without CONFIG_WCE, there is taken to be a writeback cache.',
      'When it is time to flush is for the users of a driver to say.',
    ],
    5: [
      'MUST NOT',
      'ZONED is not accepted by a driver that knows less than all three models.',
      'A trace shows a driver with a disk of one model; what it would do with the others is inside it.',
    ],
    8: [
      'MUST NOT',
      'A driver that cannot drive zones does not set FEATURES_OK for a host-managed disk.',
      'One that sets it says that it can; that it cannot shows as requests that blk.driver.op.20 to 26 are about.',
    ],
    9: [
      'MUST',
      'It sets FAILED instead.',
      'Why a driver goes no further is inside it: a reset may be for another reason, and a trace may end early.',
    ],
    11: [
      'SHOULD',
      'Who takes a host-aware disk for one without zones leaves their fields alone.',
      'For what a driver takes a disk is inside it; to read the fields may be how it decides.',
    ],
  }),
  ...unseenOf(driver, PERMISSION, {
    2: ['MAY', 'With neither CONFIG_WCE nor FLUSH there may be taken to be a writethrough cache.'],
    7: ['MAY', 'Of other disks, ZONED and DISCARD may be accepted each by itself.'],
    10: ['MAY', 'A host-aware disk may be taken for one without zones.'],
  }),
  {
    id: 'blk.driver.init.4',
    section: '§5.2.5.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The cache mode is not read before FEATURES_OK is set.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset }) => {
        if (offset !== WRITEBACK || session.driver === 'unknown') return;
        if (isAsked(session)) passed();
        else failed('writeback is read before FEATURES_OK is set', session.driverSince);
      },
    })),
  },
  {
    id: 'blk.driver.init.6',
    section: '§5.2.5.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Of a host-managed disk, DISCARD is not accepted together with ZONED.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      let model: Located<ConfigRead> | undefined;
      return {
        'config.read': (event) => {
          if (event.offset === ZONED_MODEL) model = event;
        },
        ...whenChosen(() => {
          if (model?.value !== HOST_MANAGED || !hasFeature(session.accepted, ZONED)) return;
          if (hasFeature(session.accepted, DISCARD)) failed('DISCARD is accepted together with ZONED', model);
          else passed();
        }),
      };
    }),
  },
  {
    id: 'blk.device.init.1',
    section: '§5.2.5.2',
    level: 'SHOULD',
    role: 'device',
    text: 'FLUSH is offered.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) =>
      whenChosen(() => {
        if (!session.knows(FLUSH)) return;
        if (session.offers(FLUSH)) passed();
        else failed('FLUSH is not offered');
      }),
    ),
  },
  {
    id: 'blk.device.init.2',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'FLUSH is offered where CONFIG_WCE is.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) =>
      whenChosen(() => {
        if (!session.offers(CONFIG_WCE)) return;
        if (session.offers(FLUSH)) passed();
        else failed('CONFIG_WCE is offered without FLUSH');
      }),
    ),
  },
  {
    id: 'blk.device.init.3',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'With CONFIG_WCE, and without FLUSH, the cache begins as writethrough.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      let isAsSet = false;
      return {
        'driver.phase': ({ to }) => {
          if (to === 'reset') isAsSet = true;
        },
        'config.write': ({ offset }) => {
          if (offset === WRITEBACK) isAsSet = false;
        },
        'config.read': ({ offset, value }) => {
          if (offset !== WRITEBACK || !isAsSet || !session.has(CONFIG_WCE) || session.has(FLUSH)) return;
          if (value === 0) passed();
          else failed('writeback is 1, and the driver has not set it');
        },
      };
    }),
  },
  {
    id: 'blk.device.init.4',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'The places between the fields read 0.',
    check: ofType(
      DeviceId.BLOCK,
      readsZero([
        [33, 34],
        [57, 60],
      ]),
    ),
  },
  {
    id: 'blk.device.init.5',
    section: '§5.2.5.2',
    level: 'SHOULD NOT',
    role: 'device',
    text: 'A disk without zones does not offer ZONED.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        if (offset !== ZONED_MODEL || !session.offers(ZONED)) return;
        if (value === NONE) failed('ZONED is offered by a disk without zones');
        else passed();
      },
    })),
  },
  {
    id: 'blk.device.init.6',
    section: '§5.2.5.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'A legacy device does not offer ZONED.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) =>
      whenChosen(() => {
        if (!session.knows(Feature.VERSION_1) || session.offers(Feature.VERSION_1)) return;
        if (session.offers(ZONED)) failed('ZONED is offered without VERSION_1');
        else passed();
      }),
    ),
  },
  {
    id: 'blk.device.init.7',
    section: '§5.2.5.2',
    level: 'SHOULD',
    role: 'device',
    text: 'Where ZONED was declined, other disks go on with no zones in their fields.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        if (offset < ZONE_SECTORS || offset > ZONED_MODEL) return;
        if (!isAsked(session) || !session.offers(ZONED) || session.has(ZONED)) return;
        if (value === 0) passed();
        else failed(`offset ${offset} reads ${value}, and ZONED was declined`);
      },
    })),
  },
  neverZero(10, 'The size of zones is that of each of them.', ZONE_SECTORS),
  {
    id: 'blk.device.init.15',
    section: '§5.2.5.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'The largest append is no more than the segments of a request can hold.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        if (offset !== MAX_APPEND_SECTORS || !session.has(ZONED) || !session.has(SEG_MAX)) return;
        const segments = session.configured(BlockField.SEG_MAX, 4);
        const bytes = session.configured(BlockField.SIZE_MAX, 4);
        if (!session.has(SIZE_MAX) || segments === undefined || bytes === undefined) return;
        // The sentence compares sectors with bytes; so it is taken at its word, and not for what must have been meant.
        if (value <= segments * bytes) passed();
        else failed(`${value} is more than ${segments} segments of ${bytes} bytes`);
      },
    })),
  },
  neverZero(17, 'The granularity of writes to sequential zones is told.', WRITE_GRANULARITY),
  ...unseenEach(device, {
    12: [
      'MUST',
      'The limit of open zones is told, or 0 for none.',
      'Any number is a limit, or none; how many can be open is behind the device.',
    ],
    13: [
      'MUST',
      'The limit of active zones is told, or 0 for none.',
      'Any number is a limit, or none; how many can be active is behind the device.',
    ],
    14: [
      'MUST',
      'The largest append is told.',
      'Any number can be it; that longer ones are refused is blk.device.op.30 and 31.',
    ],
  }),
  ...unseenOf(device, PERMISSION, {
    11: ['MAY', 'The last zone may be smaller.'],
    16: ['MAY', 'The largest append may be 0 where there is none.'],
  }),
  {
    id: 'blk.device.init.8',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'A host-managed disk refuses FEATURES_OK where ZONED was declined.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      let model: Located<ConfigRead> | undefined;
      return {
        'config.read': (event) => {
          if (event.offset === ZONED_MODEL) model = event;
        },
        'status.read': ({ value }) => {
          const isAnswer = session.driver === 'initializing' && ((session.written ?? 0) & Status.FEATURES_OK) !== 0;
          if (!isAnswer || model?.value !== HOST_MANAGED || session.has(ZONED)) return;
          if ((value & Status.FEATURES_OK) === 0) passed();
          else failed('a host-managed disk goes on without ZONED', model);
        },
      };
    }),
  },
  {
    id: 'blk.device.init.9',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'With ZONED the model is one of the three.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'config.read': ({ offset, value }) => {
        if (offset !== ZONED_MODEL || !session.has(ZONED)) return;
        if (value <= HOST_AWARE) passed();
        else failed(`the model is ${value}`);
      },
    })),
  },
  {
    id: 'blk.device.init.18',
    section: '§5.2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'The place after the model of zones reads 0.',
    check: ofType(DeviceId.BLOCK, readsZero([[93, 96]])),
  },
];
