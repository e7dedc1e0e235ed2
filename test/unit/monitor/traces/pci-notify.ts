import type { PciStructureName, TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
import { enable, goesOn, read, type TracesByRule } from '../../../support/trace-events.ts';

const p = (
  access: 'read' | 'write',
  structure: PciStructureName,
  offset: number,
  value: number,
  width: number,
): TraceEvent => ({ kind: 'pci', access, structure, offset, width, value });

const notification = (value: number, width = 2): TraceEvent => p('write', 'notify', 0, value, width);
const going = (...bits: number[]): TraceEvent[] => [...goesOn(0x0f, ...bits), enable()];
/** The device calls the queue so. */
const named = (name: number): TraceEvent => p('read', 'common', PciCommon.QUEUE_NOTIF_CONFIG_DATA, name, 2);
const { NOTIFICATION_DATA, NOTIF_CONFIG_DATA, INDIRECT_DESC } = Feature;

const pci = (traces: TracesByRule): TracesByRule =>
  Object.fromEntries(Object.entries(traces).map(([id, trace]) => [id, { header: { transport: 'pci' }, ...trace }]));

export const pciNotifyTraces: TracesByRule = pci({
  'notify.driver.pci.1': {
    pass: [...going(INDIRECT_DESC), notification(0)],
    fail: [...going(INDIRECT_DESC), notification(0, 4)],
  },
  'notify.driver.pci.2': {
    pass: [...going(NOTIFICATION_DATA), notification(0x1_0000, 4)],
    fail: [...going(NOTIFICATION_DATA), notification(0)],
  },
  'notify.driver.pci.3': {
    pass: [...going(INDIRECT_DESC), notification(0)],
    fail: [...going(INDIRECT_DESC), notification(1)],
  },
  'notify.driver.pci.4': {
    pass: [...going(NOTIFICATION_DATA), notification(0x1_0000, 4)],
    fail: [...going(NOTIFICATION_DATA), notification(0x1_0001, 4)],
  },
  'notify.driver.pci.5': {
    pass: [...going(NOTIF_CONFIG_DATA), named(0x77), notification(0x77)],
    fail: [...going(NOTIF_CONFIG_DATA), named(0x77), notification(0)],
  },
  'notify.driver.pci.6': {
    pass: [...going(NOTIFICATION_DATA, NOTIF_CONFIG_DATA), named(0x77), notification(0x1_0077, 4)],
    fail: [...going(NOTIFICATION_DATA, NOTIF_CONFIG_DATA), named(0x77), notification(0x1_0000, 4), read(0x0f)],
  },
});
