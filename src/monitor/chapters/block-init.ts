import { DeviceId } from '../../spec/device-ids.ts';
import { hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Session } from '../session.ts';
import type { ConfigRead, Located } from '../trace.ts';
import { ofType, PERMISSION, unseenOf } from './device-type.ts';

/** Feature bits (§5.2.3). */
const FLUSH = 9;
const CONFIG_WCE = 11;
const DISCARD = 13;
const ZONED = 17;
/** Configuration space (§5.2.4). */
const WRITEBACK = 32;
const ZONED_MODEL = 92;
/** Models of zones. */
const NOT_ZONED = 0;
const HOST_MANAGED = 1;
const HOST_AWARE = 2;

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

const ZONES = 'How the zones of a disk are is behind the device.';
const driver = { prefix: 'blk.driver.init', section: '§5.2.5.1', role: 'driver' } as const;
const device = { prefix: 'blk.device.init', section: '§5.2.5.2', role: 'device' } as const;

/** How a block device is initialised (§5.2.5). */
export const blockInit: readonly Requirement[] = [
  ...unseenOf(driver, 'What a driver is able to do, or assumes, is inside it.', {
    1: ['SHOULD NOT', 'A driver that cannot flush does not accept FLUSH.'],
    3: ['SHOULD', 'With FLUSH, and without CONFIG_WCE, there is taken to be a writeback cache.'],
    5: ['MUST NOT', 'ZONED is not accepted by a driver that knows less than all three models.'],
    8: ['MUST NOT', 'A driver that cannot drive zones does not set FEATURES_OK for a host-managed disk.'],
    9: ['MUST', 'It sets FAILED instead.'],
    11: ['SHOULD', 'Who takes a host-aware disk for one without zones leaves their fields alone.'],
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
        if (value === NOT_ZONED) failed('ZONED is offered by a disk without zones');
        else passed();
      },
    })),
  },
  ...unseenOf(device, ZONES, {
    6: ['MUST NOT', 'A legacy device does not offer ZONED.'],
    7: ['SHOULD', 'Where ZONED was declined, other disks go on with no zones in their fields.'],
    10: ['MUST', 'The size of zones is that of each of them.'],
    12: ['MUST', 'The limit of open zones is told, or 0 for none.'],
    13: ['MUST', 'The limit of active zones is told, or 0 for none.'],
    14: ['MUST', 'The largest append is told.'],
    15: ['MUST NOT', 'That is no more than the segments of a request can hold.'],
    17: ['MUST', 'The granularity of writes to sequential zones is told.'],
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
