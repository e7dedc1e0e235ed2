import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import {
  available,
  chooses,
  configInterrupt,
  configRead,
  configWrite,
  enable,
  generation,
  goesOn,
  kick,
  offers,
  queueReset,
  queueResetRead,
  read,
  resumes,
  shown,
  starts,
  suspends,
  type TracesByRule,
  taken,
  usedBuffer,
  write,
} from '../../../support/trace-events.ts';

export const statusTraces: TracesByRule = {
  'status.driver.1': {
    pass: starts(),
    fail: [...chooses(), write(0x07)],
  },
  'status.driver.2': {
    pass: [read(0x01), write(0x03)],
    fail: [read(0x0f), write(0x0b)],
  },
  'status.driver.3': {
    pass: [read(0x03), write(0x83), write(0)],
    fail: [read(0x01), write(0x81), write(0x83)],
  },
  'status.device.1': {
    pass: starts(),
    fail: [read(0x0b), taken(0)],
  },
  'status.device.3': {
    pass: [read(0x0f), read(0x4f), configInterrupt],
    fail: [read(0x0f), read(0x4f)],
  },
  'status.device.lost': {
    pass: starts(),
    fail: [read(0x0f), read(0)],
  },
  'status.device.bits': {
    pass: [...goesOn(), write(0x1f), read(0x1b)],
    fail: [...goesOn(), write(0x1f), read(0x10)],
    lawful: [
      // Either bit first, on the way in and out.
      [...goesOn(), write(0x1f), read(0x0b), read(0x1b), write(0x1f), read(0x0b), read(0x0f)],
      // DRIVER_OK is taken a little later.
      [read(0x0b), write(0x0f), read(0x0b), read(0x0f)],
      // A driver that writes again while it waits does not know what the device was by then.
      [...goesOn(), write(0x1f), write(0x1f), read(0x1b), read(0x0f)],
      [...goesOn(0x1b), write(0x1f), write(0x1f), read(0x0f), read(0x1b)],
      [...goesOn(0x1b), write(0x1f), shown(0x0f), write(0x1f), shown(0x1f), shown(0x1b)],
      // Features that are not negotiated, and SUSPEND before DRIVER_OK, are for rules of their own.
      [...goesOn(0x0f, 28), write(0x1f), read(0x1b)],
      [...goesOn(0x0b), write(0x1f), read(0x1f), read(0x1b)],
      // A failure, at rest and not.
      [...goesOn(0x1b), read(0x5b), write(0), read(0)],
      [...goesOn(), read(0x4f), write(0), read(0)],
    ],
    alsoFail: [
      [...goesOn(), read(0x1b)],
      [...goesOn(0x1b), read(0x0f)],
      [...goesOn(), read(0x0b)],
      [...goesOn(), read(0x1f)],
      [...goesOn(0x1b), read(0x0b)],
      [...goesOn(), ...suspends, ...resumes, read(0x1b)],
      [...goesOn(0x1b), read(0x5b), read(0x1b)],
    ],
  },
  'status.device.stopped': {
    pass: [...goesOn(), taken(0), shown(0x4f), configInterrupt, usedBuffer(0), write(0), read(0)],
    fail: [...goesOn(), shown(0x4f), configInterrupt, taken(0)],
  },
};

export const resetTraces: TracesByRule = {
  'reset.device.1': {
    pass: [read(0x0f), write(0), read(0x0f), read(0)],
    fail: [read(0x0f), write(0), read(0x0f)],
  },
  'reset.device.2': {
    pass: [write(0), read(0)],
    fail: [write(0), read(0), usedBuffer(0)],
  },
  'reset.driver.1': {
    pass: [write(0), read(0), write(0x01)],
    fail: [write(0), write(0x01)],
  },
  'reset.device.queue.1': {
    pass: [queueReset(), queueResetRead(0)],
    fail: [queueReset(), queueResetRead(0), taken(0)],
  },
  'reset.device.queue.2': {
    pass: [enable(), available(0), queueReset(), queueResetRead(0), enable()],
    fail: [enable(), available(0), queueReset(), queueResetRead(0), enable(), usedBuffer(0)],
  },
  'reset.driver.queue.1': {
    pass: [queueReset(), queueResetRead(1), queueResetRead(0), enable()],
    fail: [queueReset(), queueResetRead(1), enable()],
  },
  'reset.driver.reenable.1': {
    pass: [queueReset(), queueResetRead(0), enable()],
    fail: [queueReset(), queueResetRead(0), { kind: 'queue.enable', queue: 0 }],
  },
};

const UNKNOWN = 40 + 8;
const BLK_SIZE = 6;
const IN_ORDER = goesOn(0x0f, Feature.IN_ORDER);

/** A choice of features, and the look at what became of it. */
const choice = (offered: readonly number[], accepted?: readonly number[]) => [
  ...chooses(offered, accepted),
  write(0x0b),
  read(0x0b),
];

export const featureTraces: TracesByRule = {
  'features.driver.1': {
    pass: [...chooses([Feature.SUSPEND]), write(0x0b)],
    fail: [...chooses([], [Feature.SUSPEND]), write(0x0b)],
  },
  'features.driver.2': {
    header: { device: 1 },
    pass: [...chooses([7, 1]), write(0x0b)],
    fail: [...chooses([7, 1], [7]), write(0x0b)],
  },
  'features.driver.5': {
    pass: [...chooses([]), write(0x0b)],
    fail: [...chooses([42]), write(0x0b)],
    alongside: ['features.device.defined'],
  },
  'features.driver.6': {
    pass: [...starts(Feature.SUSPEND), ...starts()],
    lawful: [
      // It may have another reason.
      [...chooses([]), write(0x83), write(0)],
      [...starts(Feature.SUSPEND), ...chooses([Feature.SUSPEND, Feature.SR_IOV]), write(0x83), write(0)],
    ],
    fail: [...starts(Feature.SUSPEND), ...chooses([]), write(0x83), write(0)],
  },
  'features.driver.8': {
    pass: [...chooses([UNKNOWN], []), write(0x0b), read(0x0b), enable(), write(0x0f)],
    lawful: [[...chooses([UNKNOWN], []), write(0x83), write(0)]],
    fail: [...starts(), ...chooses([UNKNOWN], []), write(0x83), write(0)],
  },
  'features.device.1': {
    header: { device: 1 },
    pass: [...chooses([7, 1]), write(0x0b)],
    fail: [...chooses([7], []), write(0x0b)],
  },
  'features.device.2': {
    pass: choice([]),
    fail: [...chooses([Feature.SUSPEND], []), write(0x0b), read(0x03), write(0x8b)],
  },
  'features.device.3': {
    pass: [...chooses([], [Feature.SUSPEND]), write(0x0b), read(0x03), write(0x8b)],
    fail: choice([], [Feature.SUSPEND]),
    alongside: ['features.driver.1'],
  },
  'features.device.5': {
    pass: [...choice([]), ...choice([])],
    fail: [
      ...choice([Feature.ORDER_PLATFORM], []),
      ...chooses([Feature.ORDER_PLATFORM], []),
      write(0x0b),
      read(0x03),
      write(0x8b),
    ],
    alongside: ['features.driver.reserved.7'],
  },
  'features.device.defined': {
    pass: [...chooses([]), write(0x0b)],
    fail: [...chooses([UNKNOWN], []), write(0x0b)],
  },
  'features.driver.reserved.1': {
    pass: [...chooses([]), write(0x0b)],
    fail: [...chooses([]), { kind: 'features.driver', word: 1, bits: 0 }, write(0x0b)],
  },
  'features.driver.reserved.3': {
    pass: [...chooses([Feature.ACCESS_PLATFORM]), write(0x0b)],
    fail: [...chooses([Feature.ACCESS_PLATFORM], []), write(0x0b)],
  },
  'features.driver.reserved.6': {
    pass: [...chooses([Feature.RING_PACKED]), write(0x0b)],
    fail: [...chooses([Feature.RING_PACKED], []), write(0x0b)],
  },
  'features.driver.reserved.7': {
    pass: [...chooses([Feature.ORDER_PLATFORM]), write(0x0b)],
    fail: [...chooses([Feature.ORDER_PLATFORM], []), write(0x0b)],
  },
  'features.driver.reserved.10': {
    header: { transport: 'mmio' },
    pass: [...chooses([]), write(0x0b)],
    fail: [...chooses([Feature.SR_IOV]), write(0x0b)],
    alongside: ['features.device.reserved.9'],
  },
  'features.driver.reserved.13': {
    pass: [...chooses([Feature.NOTIF_CONFIG_DATA]), write(0x0b)],
    fail: [...chooses([Feature.NOTIF_CONFIG_DATA], []), write(0x0b)],
  },
  'features.device.reserved.1': {
    pass: [...chooses([]), write(0x0b)],
    fail: [write(0), read(0), write(1), write(3), { kind: 'features.device', word: 1, bits: 0 }, write(0x0b)],
  },
  'features.device.reserved.5': {
    pass: [...IN_ORDER, available(0), available(1), usedBuffer(1)],
    fail: [...IN_ORDER, available(0), available(1), usedBuffer(1), usedBuffer(0)],
  },
  'features.device.reserved.9': {
    header: { transport: 'mmio' },
    pass: [...chooses([]), write(0x0b)],
    fail: [...chooses([Feature.SR_IOV], []), write(0x0b)],
  },
};

export const queueTraces: TracesByRule = {
  'split.device.used.id': {
    pass: [enable(), available(0), usedBuffer(0)],
    fail: [enable(), available(0), usedBuffer(0), usedBuffer(0)],
  },
  'packed.device.used.id': {
    pass: [...goesOn(0x0f, Feature.RING_PACKED), enable(), available(0), usedBuffer(0)],
    fail: [...goesOn(0x0f, Feature.RING_PACKED), enable(), usedBuffer(0)],
  },
};

/** A field, before FEATURES_OK; and the rest of the initialisation. */
const early = (value: number): TraceEvent[] => [...chooses(), configRead(20, value)];
const late = [write(0x0b), read(0x0b), enable(), write(0x0f), read(0x0f)];

export const configTraces: TracesByRule = {
  'config.device.1': {
    pass: [...early(512), ...late, configRead(20, 512)],
    lawful: [
      [...early(0), ...late, configRead(20, 0)],
      [...early(0), ...late, configInterrupt, configRead(20, 512)],
      [...chooses(), configRead(32, 0, 1), ...late, configRead(32, 1, 1)],
    ],
    fail: [...chooses([BLK_SIZE]), configRead(20, 0), ...late, configRead(20, 512)],
  },
  'config.driver.2': {
    pass: [generation(3), configRead(0, 1), configRead(4, 0), generation(3)],
    // It suspends in the middle, and goes on.
    lawful: [[...goesOn(), generation(3), configRead(0, 1), configRead(4, 0), ...suspends, generation(3)]],
    fail: [configRead(0, 1), configRead(4, 0)],
  },
  'config.driver.3': {
    pass: [...offers(1), configRead(8, 1)],
    fail: [...offers(2), configRead(8, 1)],
  },
};

export const initTraces: TracesByRule = {
  'init.driver.1': {
    pass: starts(),
    fail: [...chooses(), write(0x0b), write(0x0f)],
  },
  'init.driver.3': {
    pass: starts(),
    fail: [read(0x03), write(0x03), configWrite(32, 0, 1)],
  },
  'init.driver.4': {
    pass: starts(),
    fail: [...choice([Feature.SUSPEND], []), { kind: 'features.driver', word: 1, bits: 0x801 }],
  },
  'init.driver.5': {
    pass: [read(0x03), write(0x83)],
    fail: [...chooses([Feature.ORDER_PLATFORM, Feature.SUSPEND], [Feature.ORDER_PLATFORM]), write(0x0b), read(0x03)],
    alongside: ['features.device.2'],
  },
  'init.driver.6': {
    pass: [read(0x03), write(0x83), write(0)],
    fail: [read(0x03), write(0x83), enable()],
  },
  'init.driver.cleanup.2': {
    pass: [...goesOn(), available(0), write(0), read(0)],
    lawful: [
      [...goesOn(), available(0), usedBuffer(0), available(0), kick()],
      // A recorder has looked late.
      [...goesOn(), available(0), available(0), usedBuffer(0), kick()],
      [...goesOn(), available(0), queueReset(), available(0), kick()],
      [...IN_ORDER, available(0), available(1), usedBuffer(1), available(0), kick()],
    ],
    fail: [...goesOn(), available(0), available(0), kick()],
  },
  'init.driver.7': {
    pass: starts(),
    fail: [read(0x0b), kick()],
  },
};
