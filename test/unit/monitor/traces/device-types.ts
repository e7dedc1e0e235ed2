import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { le } from '../../../support/block-events.ts';
import {
  available,
  chooses,
  configWrite,
  goesOn,
  inBuffer,
  type RuleTraces,
  read,
  type TracesByRule,
  usedBuffer,
  write,
} from '../../../support/trace-events.ts';
import { blockInitTraces } from './block-init.ts';
import { blockRequestTraces } from './block-requests.ts';
import { blockZoneTraces } from './block-zones.ts';

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

const [MULTIPORT, EMERG_WRITE] = [1, 2] as const;
const [READY, ADD, REMOVE, NAMED, OPENED] = [0, 1, 2, 4, 6] as const;

/** A control message: of a port, about something. */
const message = (port: number, about: number, value: number): string => le(port, 4) + le(about, 2) + le(value, 2);
const fromDevice = (port: number, about: number): TraceEvent[] => [
  { ...inBuffer({ head: message(port, about, 1) }), by: 'device', queue: 2 } as TraceEvent,
  { kind: 'buffer.used', queue: 2, id: 0, written: 8 },
];
const fromDriver = (port: number, about: number, value = 1): TraceEvent[] => [
  { ...inBuffer({ head: message(port, about, value) }), queue: 3 } as TraceEvent,
  { kind: 'buffer.available', queue: 3, id: 0, readable: 8, writable: 0 },
  usedBuffer(0, 3),
];
const ports = [write(0), read(0), ...goesOn(0x0f, MULTIPORT)];
const named = [...ports, ...fromDriver(0, READY), ...fromDevice(0, NAMED)];
const emergency = [...chooses([EMERG_WRITE]), configWrite(8, 0x41)];

const consoles: Traces = {
  'console.driver.op.1': { pass: [buffer(0, 8)], fail: [buffer(8, 0)] },
  'console.driver.op.2': { pass: [buffer(8, 0, 1)], fail: [buffer(0, 8, 1)] },
  'console.device.init.1': { pass: [...emergency, read(3)], fail: [...emergency, read(0x43)] },
  'console.device.multiport.1': {
    pass: [...ports, ...fromDevice(0, ADD), ...fromDevice(1, ADD)],
    fail: [...ports, ...fromDevice(0, ADD), ...fromDevice(0, ADD)],
  },
  'console.device.multiport.2': {
    pass: [...ports, ...fromDevice(0, ADD), ...fromDevice(0, REMOVE)],
    fail: [...ports, ...fromDevice(0, ADD), ...fromDevice(1, REMOVE)],
  },
  'console.driver.multiport.1': {
    pass: [...ports, ...fromDriver(0, READY), ...fromDriver(0, OPENED)],
    fail: [...ports, ...fromDriver(0, OPENED)],
  },
  'console.driver.multiport.3': {
    pass: [...named, ...fromDriver(0, OPENED), ...fromDriver(1, OPENED)],
    fail: [...named, ...fromDriver(1, OPENED)],
  },
  'console.driver.multiport.4': {
    pass: [...named, ...fromDriver(0, OPENED, 1)],
    fail: [...named, ...fromDriver(0, OPENED, 0)],
  },
};

function withDevice(device: number, traces: Traces): TracesByRule {
  return Object.fromEntries(Object.entries(traces).map(([id, both]) => [id, { ...both, header: { device } }]));
}

export const deviceTypeTraces: TracesByRule = {
  ...withDevice(DeviceId.ENTROPY, entropy),
  ...withDevice(DeviceId.CONSOLE, consoles),
  ...blockInitTraces,
  ...blockRequestTraces,
  ...blockZoneTraces,
};
