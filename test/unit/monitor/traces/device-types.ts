import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import {
  available,
  changed,
  chooses,
  configInterrupt,
  configRead,
  goesOn,
  type RuleTraces,
  read,
  type TracesByRule,
  usedBuffer,
  write,
} from '../../../support/trace-events.ts';

/** A buffer with so many bytes to read and to write. */
const buffer = (readable: number, writable: number, queue = 0): TraceEvent => {
  return { ...available(0, queue), readable, writable } as TraceEvent;
};
const filled = (written: number): TraceEvent => ({ ...usedBuffer(0), written }) as TraceEvent;

type Traces = Readonly<Record<string, Pick<RuleTraces, 'pass' | 'fail' | 'alongside'>>>;

const entropy: Traces = {
  'rng.driver.1': { pass: [buffer(0, 8)], fail: [buffer(8, 0)] },
  'rng.device.1': { pass: [filled(1)], fail: [filled(0)] },
};

const consoles: Traces = {
  'console.driver.op.1': { pass: [buffer(0, 8)], fail: [buffer(8, 0)] },
  'console.driver.op.2': { pass: [buffer(8, 0, 1)], fail: [buffer(0, 8, 1)] },
};

const [RO, FLUSH, CONFIG_WCE, DISCARD, ZONED] = [5, 9, 11, 13, 17];
const WRITEBACK = 32;
const model = (value: number): TraceEvent => configRead(92, value, 1);

/** The device offers, of the first word, these features alone. */
const offersOnly = (...bits: number[]): TraceEvent[] => {
  const word = bits.reduce((sum, bit) => sum + 2 ** bit, 0);
  return [...chooses([], []), { kind: 'features.device', word: 0, bits: word }, write(0x0b)];
};

/** The model is read, then features are accepted. */
const choosesZones = (...accepted: number[]): TraceEvent[] => {
  const events = chooses([FLUSH!, DISCARD!, ZONED!], accepted);
  return [...events.slice(0, 6), model(1), ...events.slice(6), write(0x0b)];
};

const block: Traces = {
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
};

function withDevice(device: number, traces: Traces): TracesByRule {
  return Object.fromEntries(Object.entries(traces).map(([id, both]) => [id, { ...both, header: { device } }]));
}

export const deviceTypeTraces: TracesByRule = {
  ...withDevice(DeviceId.ENTROPY, entropy),
  ...withDevice(DeviceId.CONSOLE, consoles),
  ...withDevice(DeviceId.BLOCK, block),
};
