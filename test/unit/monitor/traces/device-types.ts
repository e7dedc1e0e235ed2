import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { available, type RuleTraces, type TracesByRule, usedBuffer } from '../../../support/trace-events.ts';
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

const consoles: Traces = {
  'console.driver.op.1': { pass: [buffer(0, 8)], fail: [buffer(8, 0)] },
  'console.driver.op.2': { pass: [buffer(8, 0, 1)], fail: [buffer(0, 8, 1)] },
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
