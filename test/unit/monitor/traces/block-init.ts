import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import {
  changed,
  chooses,
  configInterrupt,
  configRead,
  goesOn,
  read,
  type TracesByRule,
  write,
} from '../../../support/trace-events.ts';

const [RO, FLUSH, CONFIG_WCE, DISCARD, ZONED] = [5, 9, 11, 13, 17];
const WRITEBACK = 32;
const model = (value: number): TraceEvent => configRead(92, value, 1);

/** The device offers, of the first word, these features alone. */
const offersOnly = (...bits: number[]): TraceEvent[] => {
  const word = bits.reduce((sum, bit) => sum + 2 ** bit, 0);
  return [...chooses([], []), { kind: 'features.device', word: 0, bits: word }, write(0x0b)];
};

/** A device without VERSION_1. */
const legacy = (...bits: number[]): TraceEvent[] => {
  const word = bits.reduce((sum, bit) => sum + 2 ** bit, 0);
  return [
    write(0),
    read(0),
    write(1),
    write(3),
    { kind: 'features.device', word: 0, bits: word },
    { kind: 'features.device', word: 1, bits: 0 },
    write(0x0b),
  ];
};

/** Requests of two segments of 4096 bytes. */
const segments = [...goesOn(0x0f, 1, 2, ZONED!), configRead(8, 4096), configRead(12, 2)];

/** The model is read, then features are accepted. */
const choosesZones = (...accepted: number[]): TraceEvent[] => {
  const events = chooses([FLUSH!, DISCARD!, ZONED!], accepted);
  return [...events.slice(0, 6), model(1), ...events.slice(6), write(0x0b)];
};

const traces: TracesByRule = {
  'blk.driver.init.4': {
    pass: [...chooses([FLUSH!, CONFIG_WCE!]), write(0x0b), read(0x0b), configRead(WRITEBACK, 1, 1)],
    fail: [...chooses([FLUSH!, CONFIG_WCE!]), configRead(WRITEBACK, 1, 1)],
  },
  'blk.driver.init.6': { pass: choosesZones(ZONED!), fail: choosesZones(DISCARD!, ZONED!) },
  'blk.device.init.1': { pass: [...chooses([FLUSH!]), write(0x0b)], fail: offersOnly() },
  'blk.device.init.2': {
    pass: [...chooses([FLUSH!, CONFIG_WCE!]), write(0x0b)],
    fail: offersOnly(CONFIG_WCE!),
    alongside: ['blk.device.init.1'],
  },
  'blk.device.init.3': {
    pass: [...chooses([FLUSH!, CONFIG_WCE!], [CONFIG_WCE!]), write(0x0b), read(0x0b), configRead(WRITEBACK, 0, 1)],
    fail: [...chooses([FLUSH!, CONFIG_WCE!], [CONFIG_WCE!]), write(0x0b), read(0x0b), configRead(WRITEBACK, 1, 1)],
  },
  'blk.device.init.4': { pass: [configRead(33, 0, 1)], fail: [configRead(33, 1, 1)] },
  'blk.device.init.5': {
    pass: [...chooses([ZONED!]), model(2)],
    fail: [...chooses([ZONED!]), model(0)],
  },
  'blk.device.init.8': {
    pass: [...choosesZones(), read(0x03)],
    fail: [...choosesZones(), read(0x0b)],
  },
  'blk.device.init.9': {
    pass: [...choosesZones(ZONED!), read(0x0b), model(1)],
    fail: [...choosesZones(ZONED!), read(0x0b), model(3)],
  },
  'blk.device.init.18': {
    pass: [...chooses([ZONED!]), configRead(93, 0, 1)],
    fail: [...chooses([ZONED!]), configRead(93, 1, 1)],
  },
  'blk.driver.op.3': {
    pass: [...chooses([RO!, FLUSH!]), write(0x0b)],
    fail: [...chooses([RO!, FLUSH!], []), write(0x0b)],
  },
  'blk.device.op.2': { pass: [...goesOn(), changed, configInterrupt], fail: [...goesOn(), changed] },
  'blk.device.init.6': {
    pass: legacy(),
    fail: legacy(ZONED!),
    alongside: ['blk.device.init.1', 'features.device.reserved.1'],
  },
  'blk.device.init.7': {
    pass: [...chooses([ZONED!], []), write(0x0b), read(0x0b), configRead(72, 0)],
    fail: [...chooses([ZONED!], []), write(0x0b), read(0x0b), configRead(72, 64)],
  },
  'blk.device.init.10': {
    pass: [...goesOn(0x0f, ZONED!), model(1), configRead(72, 64)],
    fail: [...goesOn(0x0f, ZONED!), model(1), configRead(72, 0)],
  },
  'blk.device.init.15': { pass: [...segments, configRead(84, 0x2000)], fail: [...segments, configRead(84, 0x2001)] },
  'blk.device.init.17': {
    pass: [...goesOn(0x0f, ZONED!), model(1), configRead(88, 4096)],
    fail: [...goesOn(0x0f, ZONED!), model(1), configRead(88, 0)],
  },
};

/** How a block device is initialised. */
export const blockInitTraces: TracesByRule = Object.fromEntries(
  Object.entries(traces).map(([id, both]) => [id, { ...both, header: { device: DeviceId.BLOCK } }]),
);
