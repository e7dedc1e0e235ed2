import { DeviceId } from '../../spec/device-ids.ts';
import { MMIO_VERSION, Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import type { Requirement } from '../rule.ts';
import type { Located, MmioAccess } from '../trace.ts';
import { registerAt, SHARED_MEMORY } from './mmio-registers.ts';

const KNOWN = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;

/** Types that have no shared memory, of those that are known here. */
const WITHOUT_SHARED_MEMORY: readonly number[] = [DeviceId.NET, DeviceId.BLOCK, DeviceId.CONSOLE, DeviceId.ENTROPY];

/** How a driver begins (§4.2.3.1.1), and what it does about interrupts (§4.2.3.4.1). */
export const mmioOperation: readonly Requirement[] = [
  {
    id: 'mmio.driver.init.1',
    section: '§4.2.3.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'A driver begins with MagicValue and Version.',
    check: ({ passed, failed }) => {
      /** What was read of the three; a trace that does not begin with them began later. */
      const identified = new Set<number>();
      let isDecided = false;
      return {
        mmio: ({ access, offset }) => {
          if (isDecided) return;
          const known = identified.has(Mmio.MAGIC_VALUE) && identified.has(Mmio.VERSION);
          const isProbe = access === 'read' && offset <= Mmio.VENDOR_ID;
          if (isProbe) identified.add(offset);
          if (isProbe && offset < Mmio.DEVICE_ID) return;
          isDecided = true;
          if (known) passed();
          else if (identified.size > 0) failed('the driver goes on without MagicValue and Version');
        },
      };
    },
  },
  {
    id: 'mmio.driver.init.2',
    section: '§4.2.3.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'DeviceID is read after MagicValue and Version.',
    check: ({ passed, failed }) => {
      let isProbed = false;
      let isDecided = false;
      return {
        mmio: ({ access, offset, value }) => {
          if (isDecided) return;
          if (access === 'read' && offset === Mmio.VERSION) isProbed = value === MMIO_VERSION;
          if (!isProbed || (access === 'read' && offset <= Mmio.VERSION)) return;
          isDecided = true;
          if (access === 'read' && offset === Mmio.DEVICE_ID) passed();
          else failed('the driver goes on without DeviceID');
        },
      };
    },
  },
  {
    id: 'mmio.driver.init.3',
    section: '§4.2.3.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'The initialisation ends when DeviceID is 0.',
    unseen: 'It is what mmio.driver.regs.10 says, and judged there.',
  },
  {
    id: 'mmio.driver.init.4',
    section: '§4.2.3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'No other register is read when DeviceID is 0.',
    check: ({ passed, failed }) => {
      let absent: Located | undefined;
      return {
        mmio: (event) => {
          // A write is mmio.driver.regs.10; to look again whether a device has come is no initialisation.
          if (event.access === 'write') return;
          if (event.offset === Mmio.DEVICE_ID) {
            absent = event.value === 0 ? event : undefined;
            if (absent !== undefined) passed();
          } else if (absent !== undefined && event.offset > Mmio.VERSION) {
            failed('the driver reads more of a device that is not there', absent);
          }
        },
      };
    },
  },
  {
    id: 'mmio.driver.init.5',
    section: '§4.2.3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The registers of shared memory are left alone where none is expected.',
    check: ({ session, passed, failed }) => ({
      mmio: ({ offset }) => {
        if (!WITHOUT_SHARED_MEMORY.includes(session.header.device)) return;
        if (SHARED_MEMORY.has(offset))
          failed(`${registerAt(offset)!.name} is accessed, and this type has no shared memory`);
        else if (offset === Mmio.STATUS) passed();
      },
    }),
  },
  {
    id: 'mmio.driver.init.6',
    section: '§4.2.3.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'The initialisation goes on as with any transport.',
    unseen: 'The steps are init.driver.1 to 7, and judged there.',
  },
  {
    id: 'notify.driver.mmio.1',
    section: '§4.2.3.4.1',
    level: 'MUST',
    role: 'driver',
    text: 'InterruptStatus is read at an interrupt.',
    check: ({ passed, failed }) => {
      let interrupt: Located | undefined;
      return {
        interrupt: (event) => {
          interrupt ??= event;
        },
        mmio: ({ access, offset }) => {
          if (interrupt === undefined) return;
          if (access === 'read' && offset === Mmio.INTERRUPT_STATUS) passed();
          else if (access === 'write' && offset === Mmio.INTERRUPT_ACK)
            failed('an interrupt is acknowledged without a look at InterruptStatus', interrupt);
          else return;
          interrupt = undefined;
        },
      };
    },
  },
  {
    id: 'notify.driver.mmio.2',
    section: '§4.2.3.4.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'The bit for used buffers is about every queue.',
    unseen: 'Which queues a driver looks at is reading of memory, which recorders do not see.',
  },
  {
    id: 'notify.driver.mmio.3',
    section: '§4.2.3.4.1',
    level: 'MUST',
    role: 'driver',
    text: 'What was handled is acknowledged by InterruptACK.',
    check: ({ passed, failed }) => {
      let seen: Located<MmioAccess> | undefined;
      return {
        'status.write': ({ value }) => {
          if (value === 0) seen = undefined;
        },
        mmio: (event) => {
          if (event.access === 'read' && event.offset === Mmio.INTERRUPT_STATUS) {
            if (seen !== undefined) failed('InterruptStatus is looked at again, and nothing was acknowledged', seen);
            seen = (event.value & KNOWN) === 0 ? undefined : event;
          } else if (seen !== undefined && event.access === 'write' && event.offset === Mmio.INTERRUPT_ACK) {
            passed();
            seen = undefined;
          }
        },
      };
    },
  },
];
