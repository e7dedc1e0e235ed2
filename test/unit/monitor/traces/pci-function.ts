import type { PciStructureName, TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { Msix, NO_VECTOR, PciCommon, PciHeader, PciStatus } from '../../../../src/spec/pci.ts';
import {
  chooses,
  configInterrupt,
  type RuleTraces,
  read,
  starts,
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

const probed = [...capabilities(...virtio), goesOn];
const found = (field: number, value: number, bytes = 2): TraceEvent[] => [space(field, value, bytes), ...probed];
/** Revision or subsystem of a function with a PCI device id. */
const called = (id: number, field: number, value: number, bytes = 2): TraceEvent[] => [
  space(PciHeader.DEVICE, id, 2),
  ...found(field, value, bytes),
];
const has = (...types: number[]): TraceEvent[] => [...capabilities(...types.map(ofType)), goesOn];
type Field = readonly [offset: number, value: number, width: number];
/** The capabilities that every function has, one of them with more of its fields. */
const detailed = (type: number, ...fields: readonly Field[]): TraceEvent[] => [
  ...capabilities(...virtio.filter(([, [, of]]) => of !== type), [9, [3, type, 1], ...fields]),
  goesOn,
];
/** The notification structure, and the choice of features after it. */
const notification = (offset: number, length: number, multiplier: number, ...offered: number[]): TraceEvent[] => [
  ...detailed(2, [8, offset, 4], [12, length, 4], [16, multiplier, 4]),
  ...chooses(offered),
  write(0x0b),
];
const DATA = 38;
const place = (value: number): TraceEvent => get(PciCommon.QUEUE_NOTIFY_OFF, value, 2);
const shared = (...ids: number[]): TraceEvent[] => [
  ...capabilities(...virtio, ...ids.map((id) => [9, [3, 8, 1], [5, id, 1]] as const)),
  goesOn,
];
const vendor = (bytes: number, id: number): TraceEvent[] => detailed(9, [2, bytes, 1], [4, id, 2]);
/** An access by configuration space to the common configuration, which has its first 64 bytes. */
const reaches = (offset: number, length: number): TraceEvent[] => {
  const common = [9, [3, 1, 1], [4, 0, 1], [8, 0, 4], [12, 64, 4]] as const;
  const others = [2, 3].map(ofType);
  const window = [9, [3, 5, 1], [4, 0, 1], [8, offset, 4], [12, length, 4]] as const;
  // Its data come after the other three.
  return [...capabilities(common, ...others, window), space(0x40 + 3 * 0x20 + 16, 0, length === 1 ? 1 : 4)];
};

/** BAR 4 has 16 KiB, as the driver finds out. */
const sized = [
  access('write', 'space')(PciHeader.BAR0 + 16, 0xffff_ffff, 4),
  space(PciHeader.BAR0 + 16, 0xffff_c000, 4),
];
/** A region of shared memory in BAR 4. */
const region = (offset: number, length: number, lengthHigh = 0): TraceEvent[] =>
  capabilities(...virtio, [9, [3, 8, 1], [4, 4, 1], [8, offset, 4], [12, length, 4], [16, 0, 4], [20, lengthHigh, 4]]);
const queueMaps = (vector: number): TraceEvent[] => [
  set(PciCommon.QUEUE_SELECT, 0, 2),
  set(PciCommon.QUEUE_MSIX_VECTOR, vector, 2),
  get(PciCommon.QUEUE_MSIX_VECTOR, vector, 2),
];
const message = (vector: number): TraceEvent => ({ kind: 'message', vector });
/** The second extended capability is that for virtual functions. */
const virtualFunctions = [space(0x100, 0x1401_0001, 4), space(0x140, 0x0001_0010, 4)];
const enablesThem = access('write', 'space')(0x148, 1, 2);

const traces: Readonly<Record<string, Omit<RuleTraces, 'header'>>> = {
  'pci.device.common.1': { pass: detailed(1, [8, 4, 4]), fail: detailed(1, [8, 2, 4]) },
  'pci.device.common.2': { pass: probed, fail: has(2, 3, 5) },
  'pci.device.discovery.1': { pass: found(PciHeader.VENDOR, 0x1af4), fail: found(PciHeader.VENDOR, 0x8086) },
  'pci.device.discovery.2': { pass: found(PciHeader.DEVICE, 0x1042), fail: found(PciHeader.DEVICE, 0x1043) },
  'pci.device.discovery.4': {
    pass: called(0x1042, PciHeader.REVISION, 1, 1),
    fail: called(0x1001, PciHeader.REVISION, 1, 1),
  },
  'pci.device.discovery.5': {
    pass: called(0x1042, PciHeader.REVISION, 1, 1),
    fail: called(0x1042, PciHeader.REVISION, 0, 1),
  },
  'pci.device.discovery.6': {
    pass: called(0x1042, PciHeader.SUBSYSTEM, 0x40),
    fail: called(0x1042, PciHeader.SUBSYSTEM, 2),
  },
  'pci.driver.cap.8': {
    pass: [...probed, access('write', 'space')(PciHeader.COMMAND, 7, 2)],
    fail: [...probed, access('write', 'space')(0x44, 1, 1)],
  },
  'pci.device.cap.1': { pass: detailed(1, [2, 16, 1]), fail: detailed(1, [2, 12, 1]) },
  'pci.device.notifycap.1': { pass: probed, fail: has(1, 3, 5) },
  'pci.device.notifycap.2': { pass: notification(2, 8, 2), fail: notification(1, 8, 2) },
  'pci.device.notifycap.3': { pass: notification(0, 8, 2), fail: notification(0, 8, 6) },
  'pci.device.notifycap.4': { pass: notification(0, 2, 2), fail: notification(0, 1, 2) },
  'pci.device.notifycap.6': {
    pass: [...notification(0, 8, 2), place(3)],
    fail: [...notification(0, 8, 2), place(4)],
  },
  'pci.device.notifycap.7': { pass: notification(0, 8, 4, DATA), fail: notification(0, 8, 2, DATA) },
  'pci.device.notifycap.8': { pass: notification(4, 8, 4, DATA), fail: notification(2, 8, 4, DATA) },
  'pci.device.notifycap.9': { pass: notification(0, 4, 4, DATA), fail: notification(0, 2, 4, DATA) },
  'pci.device.notifycap.11': {
    pass: [...notification(0, 8, 4, DATA), place(1)],
    fail: [...notification(0, 8, 4, DATA), place(2)],
  },
  'pci.driver.cap.1': {
    pass: [...capabilities(...virtio, ofType(200)), goesOn],
    fail: [...capabilities(...virtio, ofType(200))],
  },
  'pci.driver.cap.3': { pass: detailed(1, [2, 32, 1]), fail: detailed(1, [2, 32, 1]).slice(0, -1) },
  'pci.driver.cap.4': {
    pass: [...capabilities(...virtio, [9, [3, 1, 1], [4, 6, 1]]), goesOn],
    fail: [...capabilities(...virtio, [9, [3, 1, 1], [4, 6, 1]])],
    // A function that has nothing else is no reason to go on.
    lawful: [[...capabilities(...[2, 3, 5].map(ofType), [9, [3, 1, 1], [4, 6, 1]])]],
  },
  'pci.driver.cap.6': { pass: detailed(1, [12, 4096, 4]), fail: detailed(1, [12, 4096, 4]).slice(0, -1) },
  'pci.device.shm.1': {
    pass: [...sized, ...region(0x1000, 0x3000), goesOn],
    lawful: [
      [...region(0x1000, 0x8000), goesOn],
      [...sized.slice(1), ...region(0x1000, 0x8000), goesOn],
    ],
    fail: [...sized, ...region(0x1000, 0x3001), goesOn],
    alsoFail: [[...sized, ...region(0x1000, 0x3000, 1), goesOn]],
  },
  'notify.device.pciused.1': {
    pass: [...maps(1, 1), used(0), goesOn],
    lawful: [[...queueMaps(0), used(0), message(0)]],
    fail: [...maps(1, 1), used(0), message(1)],
  },
  'notify.device.pcicfgchg.1': {
    pass: [...queueMaps(0), configInterrupt, goesOn],
    lawful: [[...maps(1, 1), configInterrupt, message(1)]],
    fail: [...queueMaps(0), configInterrupt, message(0)],
  },
  'features.driver.reserved.11': {
    pass: [...starts(Feature.SR_IOV), ...virtualFunctions, enablesThem],
    fail: [...starts(), ...virtualFunctions, enablesThem],
    alsoFail: [[...virtualFunctions, ...chooses([Feature.SR_IOV]), enablesThem]],
  },
  'features.device.reserved.8': {
    pass: [...virtualFunctions, ...chooses([Feature.SR_IOV]), write(0x0b)],
    lawful: [[space(0x100, 0x0001, 4), ...chooses([]), write(0x0b)]],
    fail: [...virtualFunctions, ...chooses([]), write(0x0b)],
  },
  'pci.device.devcfg.1': { pass: detailed(4, [8, 4, 4]), fail: detailed(4, [8, 2, 4]) },
  'pci.device.shm.2': { pass: shared(0, 1), fail: shared(1, 1) },
  'pci.device.vendor.3': { pass: vendor(8, 0x1234), fail: vendor(8, 0x1af4) },
  'pci.device.vendor.4': { pass: vendor(8, 0x1234), fail: vendor(7, 0x1234) },
  'pci.driver.vendor.2': {
    pass: [...capabilities(...virtio, [9, [3, 9, 1], [4, 0x1234, 2]]), access('write', 'space')(0xc5, 1, 1)],
    fail: [...capabilities(...virtio, [9, [3, 9, 1]]), access('write', 'space')(0xc5, 1, 1)],
  },
  'pci.device.pcicfg.1': { pass: probed, fail: has(1, 2, 3) },
  'pci.driver.pcicfg.1': { pass: reaches(20, 4), fail: reaches(18, 4) },
  'pci.driver.pcicfg.2': { pass: reaches(20, 4), fail: reaches(64, 4) },
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
