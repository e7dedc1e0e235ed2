import type { PciStructureName, TraceEvent } from '../../../../src/monitor/trace.ts';
import { Msix, NO_VECTOR, PciCommon, PciHeader, PciStatus } from '../../../../src/spec/pci.ts';
import {
  configInterrupt,
  type RuleTraces,
  read,
  type TracesByRule,
  used,
  write,
} from '../../../support/trace-events.ts';

const access = (access: 'read' | 'write', structure: PciStructureName) => {
  return (offset: number, value: number, width: number): TraceEvent => {
    return { kind: 'pci', structure, access, offset, width, value };
  };
};
const space = access('read', 'space');
const get = access('read', 'common');
const set = access('write', 'common');
const isr = (value: number): TraceEvent => access('read', 'isr')(0, value, 1);

/** A list of capabilities, each with its id and its other fields, read in full. */
function capabilities(
  ...list: readonly (readonly [id: number, ...fields: (readonly [offset: number, value: number, width: number])[]])[]
): TraceEvent[] {
  const at = (n: number): number => (n === list.length ? 0 : 0x40 + 0x20 * n);
  return [
    space(PciHeader.CAPABILITIES, at(0), 1),
    ...list.flatMap(([id, ...fields], n) => [
      space(at(n), id, 1),
      space(at(n) + 1, at(n + 1), 1),
      ...fields.map(([offset, value, width]) => space(at(n) + offset, value, width)),
    ]),
  ];
}

const ofType = (type: number): readonly [number, readonly [number, number, number]] => [9, [3, type, 1]];
/** What every function has: common configuration, notifications, ISR status, access by configuration space. */
const virtio = [1, 2, 3, 5].map(ofType);

const msix = (vectors: number, enable: 0 | 0x8000 = 0): TraceEvent[] =>
  capabilities(...virtio, [0x11, [Msix.CONTROL, (vectors - 1) | enable, 2]]);

const maps = (vector: number, readBack: number): TraceEvent[] => [
  set(PciCommon.CONFIG_MSIX_VECTOR, vector, 2),
  get(PciCommon.CONFIG_MSIX_VECTOR, readBack, 2),
];
const goesOn = set(PciCommon.QUEUE_SELECT, 0, 2);
const interruptStatus = (value: number): TraceEvent => space(PciHeader.STATUS, value, 2);

const traces: Readonly<Record<string, Pick<RuleTraces, 'pass' | 'fail' | 'alongside'>>> = {
  'pci.device.isr.1': {
    pass: capabilities(...virtio),
    fail: capabilities(...[1, 2, 5].map(ofType)),
  },
  'pci.device.isr.2': { pass: [configInterrupt, isr(2)], fail: [configInterrupt, isr(0)] },
  'pci.device.isr.3': { pass: [used(), isr(1)], fail: [used(), isr(0)] },
  'pci.device.isr.4': {
    pass: [used(), interruptStatus(PciStatus.INTERRUPT)],
    fail: [used(), interruptStatus(0)],
  },
  'pci.device.isr.5': { pass: [used(), isr(1), isr(0)], fail: [used(), isr(1), isr(1)] },
  'pci.driver.isr.1': {
    pass: [...msix(2, Msix.ENABLE), configInterrupt, isr(2)],
    fail: [...msix(2, Msix.ENABLE), used(), isr(0)],
  },
  'pci.device.msix.1': { pass: [...msix(2), goesOn], fail: [...msix(1), goesOn] },
  'pci.device.msix.5': { pass: maps(NO_VECTOR, NO_VECTOR), fail: maps(NO_VECTOR, 0) },
  'pci.device.msix.6': { pass: maps(1, 1), fail: maps(1, 0) },
  'pci.device.msix.7': {
    pass: [write(0), read(0), get(PciCommon.CONFIG_MSIX_VECTOR, NO_VECTOR, 2)],
    fail: [write(0), read(0), get(PciCommon.CONFIG_MSIX_VECTOR, 0, 2)],
  },
  'pci.device.msix.8': { pass: [...msix(2), ...maps(1, 1)], fail: [...msix(2), ...maps(1, NO_VECTOR)] },
  'pci.device.msix.9': {
    pass: [...msix(2), ...maps(2, NO_VECTOR)],
    fail: [...msix(2), ...maps(2, 2)],
    alongside: ['pci.driver.msix.4'],
  },
  'pci.driver.msix.4': { pass: [...msix(2), ...maps(1, 1)], fail: [...msix(2), ...maps(2, NO_VECTOR)] },
  'pci.driver.msix.5': { pass: [...maps(1, 1), goesOn], fail: [maps(1, 1)[0]!, goesOn] },
};

export const pciFunctionTraces: TracesByRule = Object.fromEntries(
  Object.entries(traces).map(([id, both]) => [id, { ...both, header: { transport: 'pci' } as const }]),
);
