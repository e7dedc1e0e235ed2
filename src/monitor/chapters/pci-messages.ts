import { NO_VECTOR, PciCommon } from '../../spec/pci.ts';
import type { Check, Findings, Rule } from '../rule.ts';
import type { Interrupt, Located } from '../trace.ts';

/**
 * What is mapped to no vector sends no message (§4.1.5.3.1, §4.1.5.4.1). For traces that tell both of the notification, as a recorder
 * at the device does, and of the message that follows from it.
 */
function isSilent({ passed, failed }: Findings, cause: Interrupt['cause']): Check {
  /** By queue; that of configuration changes under `config`. Nothing is mapped after a reset. */
  const vectors = new Map<number | 'config', number>();
  let queue = 0;
  /** A notification of something without a vector, while something else has one: then MSI-X is in use. */
  let unmapped: Located<Interrupt> | undefined;
  const over = (): void => {
    if (unmapped !== undefined) passed();
    unmapped = undefined;
  };
  return {
    'status.write': ({ value }) => value === 0 && vectors.clear(),
    pci: ({ structure, access, offset, value }) => {
      over();
      if (structure !== 'common') return;
      if (access === 'write' && offset === PciCommon.QUEUE_SELECT) queue = value;
      // What is read is what the device has made of it.
      if (offset === PciCommon.QUEUE_MSIX_VECTOR) vectors.set(queue, value);
      if (offset === PciCommon.CONFIG_MSIX_VECTOR) vectors.set('config', value);
    },
    interrupt: (event) => {
      over();
      if (event.cause !== cause || (cause === 'used' && event.queue === undefined)) return;
      const vector = vectors.get(cause === 'config' ? 'config' : event.queue!) ?? NO_VECTOR;
      const isInUse = [...vectors.values()].some((other) => other !== NO_VECTOR);
      if (vector === NO_VECTOR && isInUse) unmapped = event;
    },
    message: ({ vector }) => {
      if (unmapped !== undefined) failed(`message ${vector} is sent for what has no vector`, unmapped);
      unmapped = undefined;
    },
    end: over,
  };
}

export const pciMessages: readonly Rule[] = [
  {
    id: 'notify.device.pciused.1',
    section: '§4.1.5.3.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'With MSI-X, no message is sent for a queue that is mapped to no vector.',
    check: (findings) => isSilent(findings, 'used'),
  },
  {
    id: 'notify.device.pcicfgchg.1',
    section: '§4.1.5.4.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'With MSI-X, no message is sent for a configuration change that is mapped to no vector.',
    check: (findings) => isSilent(findings, 'config'),
  },
];
