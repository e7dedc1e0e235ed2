import { Feature } from '../../spec/features.ts';
import { PciCommon, VirtioPciCapType } from '../../spec/pci.ts';
import type { Requirement } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { generationChanges } from './generation.ts';
import { eachCapability, hasCapability, isAligned } from './pci-capabilities.ts';
import { atPci } from './pci-registers.ts';
import { isDisabledByReset, isNotResetting, showsResetUntilDone } from './queue-registers.ts';

/** The device's part of the common configuration structure (§4.1.4.3.1). */
export const pciCommonDevice: readonly Requirement[] = [
  {
    id: 'pci.device.common.1',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The common configuration begins at a multiple of 4.',
    check: eachCapability([VirtioPciCapType.COMMON], 'its offset is no multiple of 4', isAligned),
  },
  {
    id: 'pci.device.common.2',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'There is a common configuration.',
    check: hasCapability(VirtioPciCapType.COMMON, 'the common configuration'),
  },
  {
    id: 'pci.device.common.3',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The field device_feature shows the word that is selected, whichever it is; no feature is above 127.',
    check: ({ passed, failed }) => {
      let word: number | undefined;
      return {
        pci: (event) => {
          if (event.structure !== 'common') return;
          const { access, offset, value } = event;
          if (access === 'write' && offset === PciCommon.DEVICE_FEATURE_SELECT) word = value;
          if (access !== 'read' || offset !== PciCommon.DEVICE_FEATURE || word === undefined) return;
          if (word < 4 || value === 0) passed();
          else failed(`features ${32 * word} to ${32 * word + 31} are offered, which do not exist`);
        },
      };
    },
  },
  {
    id: 'pci.device.common.4',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The field driver_feature reads back what the driver has written, of what is offered.',
    check: ({ session, passed, failed }) => {
      let word = 0;
      const written = new Map<number, Located<PciAccess>>();
      return {
        'status.write': ({ value }) => value === 0 && written.clear(),
        pci: (event) => {
          if (event.structure !== 'common') return;
          const { access, offset, value } = event;
          if (access === 'write' && offset === PciCommon.DRIVER_FEATURE_SELECT) word = value;
          if (offset !== PciCommon.DRIVER_FEATURE) return;
          if (access === 'write') {
            written.set(word, event);
            return;
          }
          const before = written.get(word);
          if (before === undefined) return;
          const valid = BigInt.asUintN(32, session.offered >> BigInt(32 * word));
          const lost = BigInt(before.value) & valid & ~BigInt(value);
          if (lost === 0n) passed();
          else failed(`0x${lost.toString(16)} of word ${word} is not read back`, before);
        },
      };
    },
  },
  {
    id: 'pci.device.common.5',
    section: '§4.1.4.3.1',
    level: 'MAY',
    role: 'device',
    text: 'Bits that were not offered may be read back as well.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'pci.device.common.6',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The generation is another one once a field was read that has changed.',
    check: generationChanges('pci'),
  },
  {
    id: 'pci.device.common.7',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'A write of 0 to device_status resets the device, and 0 is read when that is done.',
    unseen: 'It is what reset.device.1 says for every transport, and judged there.',
  },
  {
    id: 'pci.device.common.8',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'No queue is enabled after a reset.',
    check: ({ session, passed, failed }) => ({
      pci: atPci('read', 'common', PciCommon.QUEUE_ENABLE, ({ value }) => {
        if (session.device !== 'reset') return;
        if (value === 0) passed();
        else failed('queue_enable is 1 after a reset', session.deviceSince);
      }),
    }),
  },
  {
    id: 'pci.device.common.9',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'With RING_RESET, queue_reset is 0 after a reset of the device.',
    check: isNotResetting('pci', 'none'),
  },
  {
    id: 'pci.device.common.10',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'With RING_RESET, queue_reset is 0 once the queue is enabled.',
    check: isNotResetting('pci', 'enabled'),
  },
  {
    id: 'pci.device.common.11',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'A write of 1 to queue_reset resets the queue.',
    unseen: 'What that means is in reset.device.queue.1 and 2 for every transport, and judged there.',
  },
  {
    id: 'pci.device.common.12',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The field queue_reset stays 1 until the reset of the queue is done.',
    check: showsResetUntilDone('pci'),
  },
  {
    id: 'pci.device.common.13',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'When the reset of a queue is done, queue_enable is 0, too.',
    check: isDisabledByReset('pci'),
  },
  {
    id: 'pci.device.common.14',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'The field queue_size is 0 for a queue that there is not.',
    check: ({ session, passed, failed }) => {
      let queues: Located<PciAccess> | undefined;
      let selected = 0;
      return {
        pci: (event) => {
          if (event.structure !== 'common') return;
          const { access, offset, value } = event;
          if (access === 'write' && offset === PciCommon.QUEUE_SELECT) selected = value;
          if (access !== 'read') return;
          if (offset === PciCommon.NUM_QUEUES) queues = event;
          if (offset !== PciCommon.QUEUE_SIZE || queues === undefined || selected < queues.value) return;
          // Administration queues are behind the others.
          if (session.has(Feature.ADMIN_VQ)) return;
          if (value === 0) passed();
          else failed(`queue ${selected} has a size, and there are ${queues.value} queues`, queues);
        },
      };
    },
  },
  {
    id: 'pci.device.common.15',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'Without packed rings queue_size is 0 or a power of two.',
    check: ({ session, passed, failed }) => ({
      pci: atPci('read', 'common', PciCommon.QUEUE_SIZE, ({ value }) => {
        if (session.has(Feature.RING_PACKED)) return;
        if ((value & (value - 1)) === 0) passed();
        else failed(`queue_size is ${value}`);
      }),
    }),
  },
  {
    id: 'pci.device.common.16',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'With ADMIN_VQ, administration queues come after the others.',
    check: ({ session, passed, failed }) => {
      let queues: Located<PciAccess> | undefined;
      return {
        pci: (event) => {
          const { access, structure, offset, value } = event;
          if (access !== 'read' || structure !== 'common') return;
          if (offset === PciCommon.NUM_QUEUES) queues = event;
          if (offset !== PciCommon.ADMIN_QUEUE_INDEX || queues === undefined || !session.has(Feature.ADMIN_VQ)) return;
          if (value >= queues.value) passed();
          else failed(`the first administration queue is ${value}, one of ${queues.value} queues`, queues);
        },
      };
    },
  },
  {
    id: 'pci.device.common.17',
    section: '§4.1.4.3.1',
    level: 'MUST',
    role: 'device',
    text: 'With ADMIN_VQ, the index of each administration queue fits into 16 bits.',
    check: ({ session, passed, failed }) => {
      let first: Located<PciAccess> | undefined;
      return {
        pci: (event) => {
          const { access, structure, offset, value } = event;
          if (access !== 'read' || structure !== 'common') return;
          if (offset === PciCommon.ADMIN_QUEUE_INDEX) first = event;
          if (offset !== PciCommon.ADMIN_QUEUE_NUM || first === undefined || !session.has(Feature.ADMIN_VQ)) return;
          if (value <= 0x1_0000 - first.value) passed();
          else failed(`there are ${value} administration queues from ${first.value} on`, first);
        },
      };
    },
  },
];
