import { Feature } from '../../spec/features.ts';
import { PCI_VENDOR, PciCommon, VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';
import { Status } from '../../spec/status.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { PERMISSION, unseenOf } from './device-type.ts';
import { eachCapability, hasCapability, isAligned } from './pci-capabilities.ts';
import { regionsFit } from './pci-regions.ts';
import { FunctionSpace, type VirtioCapability } from './pci-space.ts';

const { COMMON, NOTIFY, ISR, DEVICE, PCI, SHARED_MEMORY, VENDOR } = VirtioPciCapType;

/** Judges the notification structure, once it is known whether NOTIFICATION_DATA is offered: `data` says for which it is. */
function notification(
  data: 'with' | 'without',
  isRight: (capability: VirtioCapability, multiplier: number | undefined) => boolean | undefined,
): (findings: Findings) => Check {
  return ({ session, passed, failed }) => {
    const space = new FunctionSpace();
    return {
      pci: (event) => space.follow(event),
      'status.write': ({ value }) => {
        if ((value & Status.FEATURES_OK) === 0 || !session.knows(Feature.NOTIFICATION_DATA)) return;
        const capability = space.first(NOTIFY);
        if (capability === undefined || session.offers(Feature.NOTIFICATION_DATA) !== (data === 'with')) return;
        const verdict = isRight(capability, space.field(capability.at + VirtioPciCap.NOTIFY_MULTIPLIER, 4));
        if (verdict === true) passed();
        if (verdict === false) failed('the notification structure is not so', space.last);
      },
    };
  };
}

/** The place of each queue's notifications is in the structure. */
function holdsQueues(data: 'with' | 'without'): (findings: Findings) => Check {
  const bytes = data === 'with' ? 4 : 2;
  return ({ session, passed, failed }) => {
    const space = new FunctionSpace();
    return {
      pci: (event: Located<PciAccess>) => {
        space.follow(event);
        const { structure, access, offset, value } = event;
        if (structure !== 'common' || access !== 'read' || offset !== PciCommon.QUEUE_NOTIFY_OFF) return;
        const capability = space.first(NOTIFY);
        const multiplier = capability && space.field(capability.at + VirtioPciCap.NOTIFY_MULTIPLIER, 4);
        if (capability?.length === undefined || multiplier === undefined) return;
        if (!session.knows(Feature.NOTIFICATION_DATA)) return;
        if (session.offers(Feature.NOTIFICATION_DATA) !== (data === 'with')) return;
        if (capability.length >= value * multiplier + bytes) passed();
        else
          failed(
            `offset ${value} times ${multiplier} is not in the ${capability.length} bytes that there are`,
            space.last,
          );
      },
    };
  };
}

function isPowerOfTwo(value: number): boolean {
  return value !== 0 && (value & (value - 1)) === 0;
}

const notify = { section: '§4.1.4.4.1', level: 'MUST', role: 'device' } as const;
const EVERY = 'It is about every configuration that there can be, and a trace is of one: for that, see the next one.';

/** The places of the structures (§4.1.4.4 to §4.1.4.6). */
export const pciStructures: readonly Requirement[] = [
  {
    ...notify,
    id: 'pci.device.notifycap.1',
    text: 'There is a notification structure.',
    check: hasCapability(NOTIFY, 'notifications'),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.2',
    text: 'Without NOTIFICATION_DATA it begins at a multiple of 2.',
    check: notification('without', ({ offset }) => (offset === undefined ? undefined : offset % 2 === 0)),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.3',
    text: 'Without NOTIFICATION_DATA the multiplier is 0 or an even power of two.',
    check: notification('without', (_, multiplier) => {
      return multiplier === undefined ? undefined : multiplier === 0 || (multiplier > 1 && isPowerOfTwo(multiplier));
    }),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.4',
    text: 'Without NOTIFICATION_DATA it has 2 bytes or more.',
    check: notification('without', ({ length }) => (length === undefined ? undefined : length >= 2)),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.5',
    text: 'Without NOTIFICATION_DATA it has room for all queues.',
    unseen: EVERY,
  },
  {
    ...notify,
    id: 'pci.device.notifycap.6',
    text: 'Without NOTIFICATION_DATA each queue has 2 bytes in it.',
    check: holdsQueues('without'),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.7',
    text: 'With NOTIFICATION_DATA the multiplier is 0 or a power of two from 4 on.',
    check: notification('with', (_, multiplier) => {
      return multiplier === undefined ? undefined : multiplier === 0 || (multiplier > 3 && isPowerOfTwo(multiplier));
    }),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.8',
    text: 'With NOTIFICATION_DATA it begins at a multiple of 4.',
    check: notification('with', ({ offset }) => (offset === undefined ? undefined : offset % 4 === 0)),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.9',
    text: 'With NOTIFICATION_DATA it has 4 bytes or more.',
    check: notification('with', ({ length }) => (length === undefined ? undefined : length >= 4)),
  },
  {
    ...notify,
    id: 'pci.device.notifycap.10',
    text: 'With NOTIFICATION_DATA it has room for all queues.',
    unseen: EVERY,
  },
  {
    ...notify,
    id: 'pci.device.notifycap.11',
    text: 'With NOTIFICATION_DATA each queue has 4 bytes in it.',
    check: holdsQueues('with'),
  },
  {
    id: 'pci.device.devcfg.1',
    section: '§4.1.4.6.1',
    level: 'MUST',
    role: 'device',
    text: 'The configuration of the device begins at a multiple of 4.',
    check: eachCapability([DEVICE], 'its offset is no multiple of 4', isAligned),
  },
  {
    id: 'pci.device.shm.1',
    section: '§4.1.4.7.1',
    level: 'MUST',
    role: 'device',
    text: 'A region of shared memory is inside its BAR.',
    check: regionsFit,
  },
  {
    id: 'pci.device.shm.2',
    section: '§4.1.4.7.1',
    level: 'MUST',
    role: 'device',
    text: 'Each region of shared memory has an id of its own.',
    check: eachCapability([SHARED_MEMORY], 'its id is that of another one', ({ at, id }, space) => {
      if (id === undefined) return undefined;
      return !space.virtio.some((other) => other.type === SHARED_MEMORY && other.at < at && other.id === id);
    }),
  },
  ...unseenOf({ prefix: 'pci.device.vendor', section: '§4.1.4.8.1', role: 'device' }, PERMISSION, {
    1: ['MAY', 'The vendor of vendor data may be another one than that of the function.'],
    2: ['MAY', 'There may be several capabilities with vendor data.'],
  }),
  {
    id: 'pci.device.vendor.3',
    section: '§4.1.4.8.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'The vendor of vendor data is not 0x1af4.',
    check: eachCapability([VENDOR], 'its vendor is 0x1af4', ({ at }, space) => {
      const vendor = space.field(at + VENDOR_ID, 2);
      return vendor === undefined ? undefined : vendor !== PCI_VENDOR;
    }),
  },
  {
    id: 'pci.device.vendor.4',
    section: '§4.1.4.8.1',
    level: 'MUST',
    role: 'device',
    text: 'The length of vendor data is a multiple of 4.',
    check: eachCapability([VENDOR], 'its length is no multiple of 4', ({ bytes }) => {
      return bytes === undefined ? undefined : bytes % 4 === 0;
    }),
  },
  {
    id: 'pci.device.vendor.5',
    section: '§4.1.4.8.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'To read vendor data has no side effects.',
    unseen: 'Whose effect something is a trace does not show.',
  },
  {
    id: 'pci.driver.vendor.1',
    section: '§4.1.4.8.2',
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'Vendor data serve for nothing but reports.',
    unseen: 'What a driver does with what it has read is inside it.',
  },
  {
    id: 'pci.driver.vendor.2',
    section: '§4.1.4.8.2',
    level: 'MUST',
    role: 'driver',
    text: 'The vendor is looked at before vendor data are written.',
    check: ({ passed, failed }) => {
      const space = new FunctionSpace();
      return {
        pci: (event) => {
          if (event.structure === 'space' && event.access === 'write') {
            const data = space.virtio.find(({ at, type, bytes }) => {
              return type === VENDOR && event.offset >= at && event.offset < at + (bytes ?? LEAST_VENDOR_BYTES);
            });
            if (data !== undefined && space.field(data.at + VENDOR_ID, 2) !== undefined) passed();
            else if (data !== undefined) failed('vendor data are written, and nobody has asked whose they are');
          }
          space.follow(event);
        },
      };
    },
  },
  {
    id: 'pci.device.pcicfg.1',
    section: '§4.1.4.9.1',
    level: 'MUST',
    role: 'device',
    text: 'There is access by configuration space.',
    check: hasCapability(PCI, 'access by configuration space'),
  },
  ...unseenOf(
    { prefix: 'pci.device.pcicfg', section: '§4.1.4.9.1', role: 'device' },
    'A trace has the access to the window, and not the one behind it that it stands for.',
    {
      2: ['MUST', 'A write of the data is a write where the capability says.'],
      3: ['MUST', 'A read of the data is a read from there.'],
    },
  ),
  {
    id: 'pci.driver.pcicfg.1',
    section: '§4.1.4.9.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The offset of an access by configuration space is a multiple of its length.',
    check: atWindow(({ offset, length }) => (offset % length === 0 ? undefined : `${length} bytes at ${offset}`)),
  },
  {
    id: 'pci.driver.pcicfg.2',
    section: '§4.1.4.9.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'An access by configuration space goes to one of the structures, and to nothing else.',
    check: atWindow(({ bar, offset, length }, space) => {
      const isInside = space.virtio.some((place) => {
        if (![COMMON, NOTIFY, ISR, DEVICE].includes((place.type ?? 0) as 1) || place.bar !== bar) return false;
        if (place.offset === undefined || place.length === undefined) return false;
        return offset >= place.offset && offset + length <= place.offset + place.length;
      });
      return isInside ? undefined : `there is no structure at offset ${offset} of BAR ${bar}`;
    }),
  },
];

/** Where vendor data say whose they are (§4.1.4.8), and how long they are with no more. */
const VENDOR_ID = 4;
const LEAST_VENDOR_BYTES = 6;

/** An access by configuration space, where it goes to. */
interface Window {
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
}

/** Judges each access by configuration space; `problem` says what is wrong with it. */
function atWindow(
  problem: (window: Window, space: FunctionSpace) => string | undefined,
): (findings: Findings) => Check {
  return ({ passed, failed }) => {
    const space = new FunctionSpace();
    return {
      pci: (event) => {
        const data = space.first(PCI);
        if (event.structure === 'space' && data !== undefined && event.offset === data.at + VirtioPciCap.PCI_CFG_DATA) {
          const { bar, offset, length } = data;
          if (bar === undefined || offset === undefined || length === undefined || length === 0) return;
          const wrong = problem({ bar, offset, length }, space);
          if (wrong === undefined) passed();
          else failed(wrong, space.last);
        }
        space.follow(event);
      },
    };
  };
}
