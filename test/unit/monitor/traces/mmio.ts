import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { MMIO_MAGIC, Mmio } from '../../../../src/spec/mmio.ts';
import {
  configRead,
  generation,
  goesOn,
  type RuleTraces,
  type TracesByRule,
  taken,
  used,
} from '../../../support/trace-events.ts';

const get = (offset: number, value: number, width = 4): TraceEvent => {
  return { kind: 'mmio', access: 'read', offset, width, value };
};
const set = (offset: number, value: number, width = 4): TraceEvent => {
  return { kind: 'mmio', access: 'write', offset, width, value };
};

const probe = [get(Mmio.MAGIC_VALUE, MMIO_MAGIC), get(Mmio.VERSION, 2)];
const settings = [set(Mmio.QUEUE_DESC, 0x1000), set(Mmio.QUEUE_DRIVER, 0x2000), set(Mmio.QUEUE_DEVICE, 0x3000)];
const enables = [set(Mmio.QUEUE_SEL, 0), set(Mmio.QUEUE_SIZE, 8), ...settings, set(Mmio.QUEUE_READY, 1)];
const withReset = goesOn(0x0f, Feature.RING_RESET);
const asksForReset = [set(Mmio.QUEUE_SEL, 0), set(Mmio.QUEUE_RESET, 1)];

/** A used buffer notification. */
const interrupt = used();

const status = (value: number): TraceEvent => get(Mmio.INTERRUPT_STATUS, value);
const acknowledge = (value: number): TraceEvent => set(Mmio.INTERRUPT_ACK, value);

const ofDevice: Readonly<Record<string, Pick<RuleTraces, 'pass' | 'fail'>>> = {
  'mmio.device.regs.1': { pass: probe, fail: [get(Mmio.MAGIC_VALUE, 0)] },
  'mmio.device.regs.2': { pass: probe, fail: [probe[0]!, get(Mmio.VERSION, 1)] },
  'mmio.device.regs.3': {
    pass: [interrupt, status(1), acknowledge(1), status(0)],
    fail: [interrupt, status(0)],
  },
  'mmio.device.regs.4': {
    pass: [...goesOn(), interrupt, status(1), acknowledge(1), status(0)],
    fail: [...goesOn(), interrupt, status(1), acknowledge(1), status(1)],
  },
  'mmio.device.regs.5': {
    pass: [set(Mmio.STATUS, 0), get(Mmio.STATUS, 0), status(0)],
    fail: [set(Mmio.STATUS, 0), get(Mmio.STATUS, 0), status(1)],
  },
  'mmio.device.regs.6': {
    pass: [generation(1), configRead(0, 8), configRead(0, 9), generation(2)],
    fail: [generation(1), configRead(0, 8), configRead(0, 9), generation(1)],
  },
  'mmio.device.regs.7': {
    pass: [...goesOn(), ...enables, taken(0)],
    fail: [...goesOn(), set(Mmio.QUEUE_READY, 0), get(Mmio.QUEUE_READY, 0), taken(0)],
  },
  'mmio.device.regs.8': {
    pass: [...withReset, get(Mmio.QUEUE_RESET, 0)],
    fail: [...withReset, get(Mmio.QUEUE_RESET, 1)],
  },
  'mmio.device.regs.9': {
    pass: [...withReset, ...enables, get(Mmio.QUEUE_RESET, 0)],
    fail: [...withReset, ...enables, get(Mmio.QUEUE_RESET, 1)],
  },
  'mmio.device.regs.11': {
    pass: [...withReset, ...asksForReset, get(Mmio.QUEUE_RESET, 1), get(Mmio.QUEUE_RESET, 0)],
    fail: [...withReset, ...asksForReset, get(Mmio.QUEUE_RESET, 0), get(Mmio.QUEUE_RESET, 1)],
  },
  'mmio.device.regs.12': {
    pass: [...withReset, ...asksForReset, get(Mmio.QUEUE_RESET, 0), get(Mmio.QUEUE_READY, 0)],
    fail: [...withReset, ...asksForReset, get(Mmio.QUEUE_RESET, 0), get(Mmio.QUEUE_READY, 1)],
  },
};

const begins = [set(Mmio.STATUS, 0), get(Mmio.STATUS, 0), set(Mmio.STATUS, 1), set(Mmio.STATUS, 3)];
const unready = set(Mmio.QUEUE_READY, 0);

const ofDriver: Readonly<Record<string, Pick<RuleTraces, 'pass' | 'fail'> & { alongside?: string[] }>> = {
  'mmio.driver.regs.1': { pass: probe, fail: [get(0x018, 0)] },
  'mmio.driver.regs.2': { pass: [set(Mmio.QUEUE_SEL, 0)], fail: [set(Mmio.QUEUE_SIZE_MAX, 8)] },
  'mmio.driver.regs.3': { pass: probe, fail: [get(Mmio.QUEUE_SEL, 0)] },
  'mmio.driver.regs.4': { pass: probe, fail: [set(Mmio.QUEUE_SEL, 0, 2)] },
  'mmio.driver.regs.5': { pass: [get(Mmio.CONFIG, 8)], fail: [get(Mmio.CONFIG, 8, 1)] },
  'mmio.driver.regs.6': {
    pass: probe,
    fail: [get(Mmio.MAGIC_VALUE, 0), get(Mmio.VERSION, 2), get(Mmio.DEVICE_ID, 2), set(Mmio.QUEUE_SEL, 0)],
    alongside: ['mmio.device.regs.1'],
  },
  'mmio.driver.regs.8': {
    pass: probe,
    fail: [probe[0]!, get(Mmio.VERSION, 1), set(Mmio.QUEUE_SEL, 0)],
    alongside: ['mmio.device.regs.2'],
  },
  'mmio.driver.regs.10': {
    pass: [...probe, get(Mmio.DEVICE_ID, 2), set(Mmio.QUEUE_SEL, 0)],
    fail: [...probe, get(Mmio.DEVICE_ID, 0), set(Mmio.QUEUE_SEL, 0)],
  },
  'mmio.driver.regs.12': {
    pass: [...begins, set(Mmio.DEVICE_FEATURES_SEL, 0), get(Mmio.DEVICE_FEATURES, 0)],
    fail: [...begins, get(Mmio.DEVICE_FEATURES, 0)],
  },
  'mmio.driver.regs.13': {
    pass: [...begins, set(Mmio.DRIVER_FEATURES_SEL, 0), set(Mmio.DRIVER_FEATURES, 0)],
    fail: [...begins, set(Mmio.DRIVER_FEATURES, 0)],
  },
  'mmio.driver.regs.14': {
    pass: [get(Mmio.QUEUE_SIZE_MAX, 8), set(Mmio.QUEUE_SIZE, 8)],
    fail: [get(Mmio.QUEUE_SIZE_MAX, 8), set(Mmio.QUEUE_SIZE, 16)],
  },
  'mmio.driver.regs.15': { pass: enables, fail: [...enables, set(Mmio.QUEUE_SIZE, 8)] },
  'mmio.driver.regs.17': {
    pass: [unready, get(Mmio.QUEUE_READY, 0), set(Mmio.QUEUE_SEL, 1)],
    fail: [unready, set(Mmio.QUEUE_SEL, 1)],
  },
  'mmio.driver.regs.19': { pass: [status(1), acknowledge(1)], fail: [status(1), acknowledge(3)] },
  'mmio.driver.regs.20': { pass: [status(1), acknowledge(1)], fail: [status(5), acknowledge(5)] },
  'mmio.driver.init.1': {
    pass: [...probe, get(Mmio.DEVICE_ID, 2)],
    fail: [probe[0]!, get(Mmio.DEVICE_ID, 2)],
  },
  'mmio.driver.init.2': { pass: [...probe, get(Mmio.DEVICE_ID, 2)], fail: [...probe, set(Mmio.STATUS, 0)] },
  'mmio.driver.init.4': {
    pass: [...probe, get(Mmio.DEVICE_ID, 0)],
    fail: [...probe, get(Mmio.DEVICE_ID, 0), get(Mmio.STATUS, 0)],
  },
  'mmio.driver.init.5': { pass: [get(Mmio.STATUS, 0)], fail: [set(Mmio.SHM_SEL, 0)] },
  'notify.driver.mmio.1': {
    pass: [interrupt, status(1), acknowledge(1)],
    fail: [interrupt, acknowledge(1)],
  },
  'notify.driver.mmio.3': { pass: [status(1), acknowledge(1)], fail: [status(1), status(1)] },
};

export const mmioTraces: TracesByRule = Object.fromEntries(
  Object.entries({ ...ofDevice, ...ofDriver }).map(([id, traces]) => [
    id,
    { ...traces, header: { transport: 'mmio' } as const },
  ]),
);
