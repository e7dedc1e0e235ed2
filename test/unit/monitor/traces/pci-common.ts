import type { PciStructureName, TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
import {
  configRead,
  generation,
  goesOn,
  offers,
  type RuleTraces,
  read,
  starts,
  type TracesByRule,
  write,
} from '../../../support/trace-events.ts';

const access = (access: 'read' | 'write') => {
  return (offset: number, value: number, width: number, structure: PciStructureName = 'common'): TraceEvent => {
    return { kind: 'pci', structure, access, offset, width, value };
  };
};
const get = access('read');
const set = access('write');

const select = set(PciCommon.QUEUE_SELECT, 0, 2);
const asksForReset = [select, set(PciCommon.QUEUE_RESET, 1, 2)];
const places = [PciCommon.QUEUE_DESC, PciCommon.QUEUE_DRIVER, PciCommon.QUEUE_DEVICE].map((at) => set(at, 0x1000, 4));
const enables = [select, ...places, set(PciCommon.QUEUE_ENABLE, 1, 2)];
const withReset = goesOn(0x0f, Feature.RING_RESET);
const withAdmin = [...goesOn(0x0f, Feature.ADMIN_VQ), get(PciCommon.NUM_QUEUES, 2, 2)];
const resetRead = (value: number): TraceEvent => get(PciCommon.QUEUE_RESET, value, 2);
const adminQueues = (first: number, count: number): TraceEvent[] => [
  get(PciCommon.ADMIN_QUEUE_INDEX, first, 2),
  get(PciCommon.ADMIN_QUEUE_NUM, count, 2),
];
const size = (value: number): TraceEvent => set(PciCommon.QUEUE_SIZE, value, 2);
/** Up to where queues are configured. */
const untilQueues = starts().slice(0, -3);
const accepted = [...offers(Feature.SUSPEND), set(PciCommon.DRIVER_FEATURE_SELECT, 1, 4)];

const traces: Readonly<Record<string, Omit<RuleTraces, 'header'>>> = {
  'pci.device.common.3': {
    pass: [set(PciCommon.DEVICE_FEATURE_SELECT, 4, 4), get(PciCommon.DEVICE_FEATURE, 0, 4)],
    fail: [set(PciCommon.DEVICE_FEATURE_SELECT, 4, 4), get(PciCommon.DEVICE_FEATURE, 1, 4)],
  },
  'pci.device.common.4': {
    pass: [...accepted, set(PciCommon.DRIVER_FEATURE, 1, 4), get(PciCommon.DRIVER_FEATURE, 1, 4)],
    fail: [...accepted, set(PciCommon.DRIVER_FEATURE, 1, 4), get(PciCommon.DRIVER_FEATURE, 0, 4)],
  },
  'pci.device.common.6': {
    pass: [generation(1), configRead(0, 8), configRead(0, 9), generation(2)],
    fail: [generation(1), configRead(0, 8), configRead(0, 9), generation(1)],
  },
  'pci.device.common.8': {
    pass: [write(0), read(0), get(PciCommon.QUEUE_ENABLE, 0, 2)],
    fail: [write(0), read(0), get(PciCommon.QUEUE_ENABLE, 1, 2)],
  },
  'pci.device.common.9': { pass: [...withReset, resetRead(0)], fail: [...withReset, resetRead(1)] },
  'pci.device.common.10': {
    pass: [...withReset, ...enables, resetRead(0)],
    fail: [...withReset, ...enables, resetRead(1)],
  },
  'pci.device.common.12': {
    pass: [...withReset, ...asksForReset, resetRead(1), resetRead(0)],
    fail: [...withReset, ...asksForReset, resetRead(0), resetRead(1)],
  },
  'pci.device.common.13': {
    pass: [...withReset, ...asksForReset, resetRead(0), get(PciCommon.QUEUE_ENABLE, 0, 2)],
    fail: [...withReset, ...asksForReset, resetRead(0), get(PciCommon.QUEUE_ENABLE, 1, 2)],
  },
  'pci.device.common.14': {
    pass: [get(PciCommon.NUM_QUEUES, 1, 2), set(PciCommon.QUEUE_SELECT, 1, 2), get(PciCommon.QUEUE_SIZE, 0, 2)],
    fail: [get(PciCommon.NUM_QUEUES, 1, 2), set(PciCommon.QUEUE_SELECT, 1, 2), get(PciCommon.QUEUE_SIZE, 8, 2)],
  },
  'pci.device.common.15': { pass: [get(PciCommon.QUEUE_SIZE, 8, 2)], fail: [get(PciCommon.QUEUE_SIZE, 9, 2)] },
  'pci.device.common.16': {
    pass: [...withAdmin, get(PciCommon.ADMIN_QUEUE_INDEX, 2, 2)],
    fail: [...withAdmin, get(PciCommon.ADMIN_QUEUE_INDEX, 1, 2)],
  },
  'pci.device.common.17': {
    pass: [...withAdmin, ...adminQueues(0xfff0, 16)],
    fail: [...withAdmin, ...adminQueues(0xfff0, 17)],
  },
  'pci.driver.common.1': { pass: [select], fail: [set(PciCommon.NUM_QUEUES, 1, 2)] },
  'pci.driver.common.2': {
    pass: [...goesOn(0x0f, Feature.RING_PACKED), size(7)],
    fail: [...goesOn(0x0f, Feature.RING_PACKED), size(0)],
  },
  'pci.driver.common.3': { pass: [size(8)], fail: [size(7)] },
  'pci.driver.common.4': {
    pass: [...untilQueues, ...enables],
    fail: [...untilQueues, select, set(PciCommon.QUEUE_ENABLE, 1, 2)],
  },
  'pci.driver.common.5': { pass: [write(0), read(0), write(1)], fail: [write(0), write(1)] },
  'pci.driver.common.6': { pass: enables, fail: [select, set(PciCommon.QUEUE_ENABLE, 0, 2)] },
  'pci.driver.common.10': {
    pass: [...withAdmin, ...adminQueues(2, 1), set(PciCommon.QUEUE_SELECT, 2, 2), ...enables.slice(1)],
    fail: [...withAdmin, ...adminQueues(2, 1), set(PciCommon.QUEUE_SELECT, 3, 2), ...enables.slice(1)],
  },
  'pci.device.layout.1': {
    pass: [select, ...places, get(PciCommon.QUEUE_DESC, 0x1000, 4)],
    lawful: [
      [select, ...places, set(PciCommon.QUEUE_SELECT, 1, 2), get(PciCommon.QUEUE_DESC, 0, 4)],
      [select, ...places, write(0), get(PciCommon.QUEUE_DESC, 0, 4)],
      [...enables, set(PciCommon.QUEUE_DESC, 0x2000, 4), get(PciCommon.QUEUE_DESC, 0x1000, 4)],
    ],
    fail: [select, ...places, set(PciCommon.QUEUE_DESC + 4, 1, 4), get(PciCommon.QUEUE_DESC + 4, 0, 4)],
  },
  'pci.driver.layout.1': { pass: [select], fail: [set(PciCommon.QUEUE_SELECT, 0, 4)] },
};

export const pciCommonTraces: TracesByRule = Object.fromEntries(
  Object.entries(traces).map(([id, both]) => [id, { ...both, header: { transport: 'pci' } as const }]),
);
