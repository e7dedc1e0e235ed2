import { PCI_DEVICE_BASE, PCI_VENDOR, PciHeader, VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import { PERMISSION, unseenOf } from './device-type.ts';
import { eachCapability } from './pci-capabilities.ts';
import { oddCapabilities } from './pci-odd-capabilities.ts';
import { FunctionSpace, whenFound } from './pci-space.ts';

const { COMMON, NOTIFY, ISR, DEVICE, PCI, SHARED_MEMORY, VENDOR } = VirtioPciCapType;

/** What transitional devices are called, by virtio id (§4.1.2). */
const TRANSITIONAL: Readonly<Record<number, number>> = {
  1: 0x1000,
  2: 0x1001,
  3: 0x1003,
  4: 0x1005,
  5: 0x1002,
  8: 0x1004,
  9: 0x1009,
};

/** Judges a field of the header, when the driver has looked at the function; `isRight` says undefined where it does not apply. */
function header(
  offset: number,
  isRight: (value: number, space: FunctionSpace, device: number) => boolean | undefined,
): (findings: Findings) => Check {
  return ({ session, passed, failed }) =>
    whenFound((space) => {
      const value = space.field(offset, offset === PciHeader.REVISION ? 1 : 2);
      const verdict = value === undefined ? undefined : isRight(value, space, session.header.device);
      if (verdict === true) passed();
      if (verdict === false) failed(`it is 0x${value!.toString(16)}`, space.last);
    });
}

function isTransitional(space: FunctionSpace): boolean | undefined {
  const id = space.field(PciHeader.DEVICE, 2);
  return id === undefined ? undefined : id < PCI_DEVICE_BASE;
}

/** How long a capability is at least. */
function leastBytes(type: number): number {
  if (type === SHARED_MEMORY) return VirtioPciCap.BYTES_64;
  return type === NOTIFY || type === PCI ? VirtioPciCap.BYTES + 4 : VirtioPciCap.BYTES;
}

const discovery = { section: '§4.1.2.1', role: 'device' } as const;
const driver = { section: '§4.1.4.1', role: 'driver' } as const;
const device = { section: '§4.1.4.2', role: 'device' } as const;
const WHICH = 'Which functions a driver takes for its own shows only at those that it takes.';
const COPES =
  'A trace says which structure an access is to, not by which capability the driver has found it, nor what it maps.';

/** How a function is found (§4.1.2), and its capabilities in general (§4.1.4). */
export const pciFunction: readonly Requirement[] = [
  {
    id: 'pci.device.bus.1',
    section: '§4.1.1',
    level: 'MUST',
    role: 'device',
    text: 'The function keeps to the specification of PCI.',
    unseen: 'That is another standard, which is not judged here.',
  },
  {
    ...discovery,
    id: 'pci.device.discovery.1',
    level: 'MUST',
    text: 'The PCI vendor is 0x1af4.',
    check: header(PciHeader.VENDOR, (value) => value === PCI_VENDOR),
  },
  {
    ...discovery,
    id: 'pci.device.discovery.2',
    level: 'MUST',
    text: 'The PCI device id is 0x1040 and the virtio id, or that of its transitional form.',
    check: header(
      PciHeader.DEVICE,
      (value, _, type) => value === PCI_DEVICE_BASE + type || value === TRANSITIONAL[type],
    ),
  },
  {
    ...discovery,
    id: 'pci.device.discovery.3',
    level: 'MAY',
    text: 'The subsystem says where the function is.',
    unseen: PERMISSION,
  },
  {
    ...discovery,
    id: 'pci.device.discovery.4',
    level: 'SHOULD',
    text: 'What is not transitional has a PCI device id from 0x1040 to 0x107f.',
    check: header(PciHeader.DEVICE, (value, space) => {
      // Transitional devices have revision 0.
      if ((space.field(PciHeader.REVISION, 1) ?? 0) === 0) return undefined;
      return value >= PCI_DEVICE_BASE && value <= PCI_DEVICE_BASE + 0x3f;
    }),
  },
  {
    ...discovery,
    id: 'pci.device.discovery.5',
    level: 'SHOULD',
    text: 'The revision of a function that is not transitional is 1 or more.',
    check: header(PciHeader.REVISION, (value, space) => (isTransitional(space) === false ? value >= 1 : undefined)),
  },
  {
    ...discovery,
    id: 'pci.device.discovery.6',
    level: 'SHOULD',
    text: 'The subsystem of a function that is not transitional is 0x40 or more.',
    check: header(PciHeader.SUBSYSTEM, (value, space) => (isTransitional(space) === false ? value >= 0x40 : undefined)),
  },
  ...unseenOf({ prefix: 'pci.driver.discovery', section: '§4.1.2.2', role: 'driver' }, WHICH, {
    1: ['MUST', 'A driver takes functions by vendor and PCI device id.'],
    2: ['MUST', 'It takes transitional ones, too.'],
    3: ['MUST', 'It takes them whatever their revision.'],
    4: ['MAY', 'It need not look at the subsystem.'],
  }),
  ...unseenOf({ prefix: 'pci.driver.cap', section: driver.section, role: 'driver' }, COPES, {
    2: ['SHOULD', 'Of several, the first that can be used is.'],
    5: ['SHOULD', 'No more of a structure is mapped than is needed.'],
  }),
  ...unseenOf({ prefix: 'pci.driver.cap', section: driver.section, role: 'driver' }, PERMISSION, {
    7: ['MAY', 'Its length may be checked.'],
  }),
  ...oddCapabilities,
  {
    ...driver,
    id: 'pci.driver.cap.8',
    level: 'MUST NOT',
    text: 'Capabilities are not written, but for that of access by configuration space.',
    check: ({ passed, failed }) => {
      const space = new FunctionSpace();
      return {
        pci: (event) => {
          if (event.structure === 'space' && event.access === 'write') {
            const hit = space.virtio.find(({ at, type }) => {
              return type !== undefined && event.offset >= at && event.offset < at + leastBytes(type);
            });
            if (hit === undefined || hit.type === PCI || hit.type === VENDOR) passed();
            else failed(`the capability at 0x${hit.at.toString(16)} is written`);
          }
          space.follow(event);
        },
      };
    },
  },
  {
    ...device,
    id: 'pci.device.cap.1',
    level: 'MUST',
    text: 'The length of a capability is that of all its fields.',
    check: eachCapability([COMMON, NOTIFY, ISR, DEVICE, PCI, SHARED_MEMORY], 'it is too short', ({ bytes, type }) => {
      return bytes === undefined ? undefined : bytes >= leastBytes(type!);
    }),
  },
  ...unseenOf({ prefix: 'pci.device.cap', section: device.section, role: 'device' }, PERMISSION, {
    2: ['MAY', 'Anything may follow it.'],
  }),
  ...unseenOf(
    { prefix: 'pci.device.cap', section: device.section, role: 'device' },
    'Which of two is the better one only the device knows.',
    { 3: ['SHOULD', 'Of several of a type the best comes first.'] },
  ),
];
