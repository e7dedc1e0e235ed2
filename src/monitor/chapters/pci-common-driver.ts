import { Feature } from '../../spec/features.ts';
import { PciCommon } from '../../spec/pci.ts';
import { isNatural } from '../config-fields.ts';
import type { Requirement } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { atPci, commonField } from './pci-registers.ts';

/** The driver's use of the common configuration structure (§4.1.4.3.2). */
export const pciCommonDriver: readonly Requirement[] = [
  {
    id: 'pci.driver.common.1',
    section: '§4.1.4.3.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Fields that belong to the device are not written.',
    check: ({ passed, failed }) => ({
      pci: ({ access, structure, offset }) => {
        const field = structure === 'common' ? commonField(offset) : undefined;
        if (access === 'read' || field === undefined) return;
        if (field.isReadOnly) failed(`${field.name} is written`);
        else passed();
      },
    }),
  },
  {
    id: 'pci.driver.common.2',
    section: '§4.1.4.3.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'With packed rings, 0 is not written to queue_size.',
    check: ({ session, passed, failed }) => ({
      pci: atPci('write', 'common', PciCommon.QUEUE_SIZE, ({ value }) => {
        if (!session.has(Feature.RING_PACKED)) return;
        if (value !== 0) passed();
        else failed('queue_size is written with 0');
      }),
    }),
  },
  {
    id: 'pci.driver.common.3',
    section: '§4.1.4.3.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Without packed rings, only powers of two are written to queue_size.',
    check: ({ session, passed, failed }) => ({
      pci: atPci('write', 'common', PciCommon.QUEUE_SIZE, ({ value }) => {
        if (session.has(Feature.RING_PACKED)) return;
        if (value !== 0 && (value & (value - 1)) === 0) passed();
        else failed(`queue_size is written with ${value}`);
      }),
    }),
  },
  {
    id: 'pci.driver.common.4',
    section: '§4.1.4.3.2',
    level: 'MUST',
    role: 'driver',
    text: 'A queue has its addresses before it is enabled.',
    check: ({ session, passed, failed }) => {
      let begins: Located | undefined;
      /** To enable one again is reset.driver.reenable.1. */
      const resets = new Set<number>();
      return {
        'status.write': (event) => {
          if (event.value !== 0) return;
          begins = event;
          resets.clear();
        },
        'queue.reset': ({ queue }) => {
          resets.add(queue);
        },
        'queue.enable': ({ queue, descriptor, driver, device }) => {
          if (session.header.transport !== 'pci' || begins === undefined || resets.has(queue)) return;
          if (![descriptor, driver, device].includes(undefined)) passed();
          else failed(`queue ${queue} is enabled without addresses`, begins);
        },
      };
    },
  },
  {
    id: 'pci.driver.common.5',
    section: '§4.1.4.3.2',
    level: 'MUST',
    role: 'driver',
    text: 'After a write of 0 to device_status the driver waits until it reads 0 before it begins anew.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        if (session.header.transport !== 'pci' || session.driver !== 'reset' || value === 0) return;
        if (session.seen === 0) passed();
        else failed('the initialisation begins before the status was read as 0', session.driverSince);
      },
    }),
  },
  {
    id: 'pci.driver.common.6',
    section: '§4.1.4.3.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A queue is not disabled by a write of 0 to queue_enable.',
    check: ({ passed, failed }) => ({
      pci: atPci('write', 'common', PciCommon.QUEUE_ENABLE, ({ value }) => {
        if (value !== 0) passed();
        else failed('queue_enable is written with 0');
      }),
    }),
  },
  {
    id: 'pci.driver.common.7',
    section: '§4.1.4.3.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The reset of a queue is not taken for done before queue_reset reads 0.',
    unseen: 'It is what reset.driver.queue.1 says for every transport, and judged there.',
  },
  {
    id: 'pci.driver.common.8',
    section: '§4.1.4.3.2',
    level: 'MAY',
    role: 'driver',
    text: 'A queue may be enabled again after that.',
    unseen: 'A permission; that its fields are set up before is reset.driver.reenable.1.',
  },
  {
    id: 'pci.driver.common.9',
    section: '§4.1.4.3.2',
    level: 'MAY',
    role: 'driver',
    text: 'It may have other settings then.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'pci.driver.common.10',
    section: '§4.1.4.3.2',
    level: 'MUST',
    role: 'driver',
    text: 'With ADMIN_VQ, queues after the others are enabled only where the administration queues are.',
    check: ({ session, passed, failed }) => {
      const read = new Map<number, Located<PciAccess>>();
      return {
        pci: (event) => {
          if (event.access === 'read' && event.structure === 'common') read.set(event.offset, event);
        },
        'queue.enable': ({ queue }) => {
          const [queues, first, count] = [
            PciCommon.NUM_QUEUES,
            PciCommon.ADMIN_QUEUE_INDEX,
            PciCommon.ADMIN_QUEUE_NUM,
          ].map((offset) => read.get(offset));
          if (!session.has(Feature.ADMIN_VQ) || queues === undefined || queue < queues.value) return;
          if (first === undefined || count === undefined) return;
          if (queue >= first.value && queue < first.value + count.value) passed();
          else failed(`queue ${queue} is no administration queue, and none of the others`, first, count);
        },
      };
    },
  },
  {
    id: 'pci.driver.common.11',
    section: '§4.1.4.3.2',
    level: 'MAY',
    role: 'driver',
    text: 'Not all administration queues need to be configured.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'pci.driver.layout.1',
    section: '§4.1.3.1',
    level: 'MUST',
    role: 'driver',
    text: 'A field is accessed in its own width, one of 64 bits in two halves.',
    check: ({ session, passed, failed }) => ({
      pci: ({ structure, offset, width }) => {
        if (structure !== 'common' && structure !== 'device') return;
        const fits =
          structure === 'common'
            ? commonField(offset)?.width === width
            : isNatural(session.header.device, offset, width);
        if (fits) passed();
        else failed(`${width} bytes at offset ${offset} of the ${structure} configuration are no field`);
      },
    }),
  },
  {
    id: 'pci.driver.layout.2',
    section: '§4.1.3.1',
    level: 'MAY',
    role: 'driver',
    text: 'The halves of a field of 64 bits may be accessed by themselves.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'pci.device.layout.1',
    section: '§4.1.3.2',
    level: 'MUST',
    role: 'device',
    text: 'Each half of a field of 64 bits can be accessed by itself.',
    check: ({ session, passed, failed }) => {
      /** What was written to halves of the addresses of queues that are not enabled yet. */
      const written = new Map<string, Located<PciAccess>>();
      let queue = 0;
      const forget = (index: number): void => {
        for (const key of written.keys()) if (key.startsWith(`${index}:`)) written.delete(key);
      };
      const isEnabled = (index: number): boolean => session.queues.has(index);
      return {
        'status.write': ({ value }) => value === 0 && written.clear(),
        pci: (event) => {
          const { structure, access, offset, width, value } = event;
          if (structure !== 'common') return;
          if (access === 'write' && offset === PciCommon.QUEUE_SELECT) queue = value;
          if (access === 'write' && (offset === PciCommon.QUEUE_ENABLE || offset === PciCommon.QUEUE_RESET))
            forget(queue);
          const isHalf =
            offset >= PciCommon.QUEUE_DESC && offset < PciCommon.QUEUE_NOTIF_CONFIG_DATA && offset % 4 === 0;
          if (!isHalf || width !== 4 || session.device === 'suspended' || isEnabled(queue)) return;
          const key = `${queue}:${offset}`;
          const before = written.get(key);
          if (access === 'write') written.set(key, event);
          else if (before === undefined) return;
          else if (before.value === value) passed();
          else failed(`0x${value.toString(16)} is read where 0x${before.value.toString(16)} was written`, before);
        },
      };
    },
  },
];
