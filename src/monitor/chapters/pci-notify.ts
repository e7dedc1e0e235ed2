import { Feature } from '../../spec/features.ts';
import { PciCommon } from '../../spec/pci.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { pciMessages } from './pci-messages.ts';

const AVAILABLE = '§4.1.5.2.1';

/** Calls `look` for each notification over PCI, with what the device has called each queue. */
function atNotification(
  { session }: Findings,
  look: (event: Located<PciAccess>, names: ReadonlyMap<number, number>) => void,
): Check {
  const names = new Map<number, number>();
  let queue = 0;
  return {
    pci: (event) => {
      const { structure, access, offset, value } = event;
      if (structure === 'common' && access === 'write' && offset === PciCommon.QUEUE_SELECT) queue = value;
      if (structure === 'common' && access === 'read' && offset === PciCommon.QUEUE_NOTIF_CONFIG_DATA)
        names.set(queue, value);
      if (structure === 'notify' && access === 'write' && session.driver !== 'reset') look(event, names);
    },
  };
}

/** Notifications have a width. */
function width(number: number, data: 'with' | 'without', bytes: number): Requirement {
  return {
    id: `notify.driver.pci.${number}`,
    section: AVAILABLE,
    level: 'MUST',
    role: 'driver',
    text: `${data === 'with' ? 'With' : 'Without'} VIRTIO_F_NOTIFICATION_DATA a notification is a write of ${8 * bytes} bits.`,
    check: (findings) =>
      atNotification(findings, (event) => {
        if (findings.session.has(Feature.NOTIFICATION_DATA) !== (data === 'with')) return;
        if (event.width === bytes) findings.passed();
        else findings.failed(`a notification of ${8 * event.width} bits`);
      }),
  };
}

/** Notifications name a queue: by its index, or by what the device calls it. */
function value(number: number, text: string, has: { readonly data: number; readonly names: number }): Requirement {
  return {
    id: `notify.driver.pci.${number}`,
    section: AVAILABLE,
    level: 'MUST',
    role: 'driver',
    text,
    check: (findings) =>
      atNotification(findings, (event, names) => {
        const { session, passed, failed } = findings;
        if (session.has(Feature.NOTIFICATION_DATA) !== (has.data === 1)) return;
        if (session.has(Feature.NOTIF_CONFIG_DATA) !== (has.names === 1)) return;
        const name = has.data === 1 ? event.value & 0xffff : event.value;
        const known = has.names === 1 ? [...names.values()] : [...session.queues];
        if (known.length === 0) return;
        if (known.includes(name)) passed();
        else failed(`a notification of ${name}; queues are called ${known.join(', ')}`);
      }),
  };
}

/** How the two ends notify each other over PCI (§4.1.5). */
export const pciNotify: readonly Requirement[] = [
  width(1, 'without', 2),
  width(2, 'with', 4),
  value(3, 'A plain notification is the index of the queue.', { data: 0, names: 0 }),
  value(4, 'With VIRTIO_F_NOTIFICATION_DATA alone, the queue is named by its index.', { data: 1, names: 0 }),
  value(5, 'With VIRTIO_F_NOTIF_CONFIG_DATA alone, a notification is what queue_notif_config_data reads.', {
    data: 0,
    names: 1,
  }),
  value(6, 'With both features, the queue is named by what queue_notif_config_data reads.', { data: 1, names: 1 }),
  ...pciMessages,
  {
    id: 'notify.driver.pcicfgchg.1',
    section: '§4.1.5.4.2',
    level: 'MUST',
    role: 'driver',
    text: 'One interrupt may stand for a configuration change and for used buffers.',
    unseen: 'What a driver makes of an interrupt is inside it.',
  },
];
