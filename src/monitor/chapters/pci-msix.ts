import { NO_VECTOR, PciCommon } from '../../spec/pci.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { PERMISSION } from './device-type.ts';
import { FunctionSpace, whenFound } from './pci-space.ts';

/** A field that maps an event to a vector, at an access to it. */
interface Mapping {
  readonly event: Located<PciAccess>;
  /** The write to it before, since the last reset. */
  readonly written: Located<PciAccess> | undefined;
  /** How many vectors there are, where that is known. */
  readonly vectors: number | undefined;
}

/** Calls back at each access to one of the fields that map events. */
function atMappings({ session }: Findings, look: (mapping: Mapping) => void): Check {
  const space = new FunctionSpace();
  const written = new Map<string, Located<PciAccess>>();
  let queue = 0;
  return {
    'status.write': ({ value }) => value === 0 && written.clear(),
    pci: (event) => {
      space.follow(event);
      const { structure, access, offset, value } = event;
      if (structure !== 'common') return;
      if (access === 'write' && offset === PciCommon.QUEUE_SELECT) queue = value;
      const isQueue = offset === PciCommon.QUEUE_MSIX_VECTOR;
      if (!isQueue && offset !== PciCommon.CONFIG_MSIX_VECTOR) return;
      const field = isQueue ? `queue ${queue}` : 'config';
      if (session.device !== 'resetting') look({ event, written: written.get(field), vectors: space.vectors });
      if (access === 'write') written.set(field, event);
    },
  };
}

/** Calls back at each read of such a field that was written before. */
function atReadBacks(
  findings: Findings,
  look: (read: number, written: Located<PciAccess>, vectors: number | undefined) => void,
): Check {
  return atMappings(findings, ({ event, written, vectors }) => {
    if (event.access === 'read' && written !== undefined) look(event.value, written, vectors);
  });
}

const device = { section: '§4.1.5.1.2.1', role: 'device' } as const;
const driver = { section: '§4.1.5.1.2.2', role: 'driver' } as const;

/** How events are mapped to MSI-X vectors (§4.1.5.1.2). */
export const pciMsix: readonly Requirement[] = [
  {
    ...device,
    id: 'pci.device.msix.1',
    level: 'SHOULD',
    text: 'There are at least two vectors.',
    check: ({ passed, failed }) =>
      whenFound((space) => {
        if (space.vectors === undefined) return;
        if (space.vectors >= 2) passed();
        else failed('there is only one vector', space.last);
      }),
  },
  {
    ...device,
    id: 'pci.device.msix.2',
    level: 'MUST',
    text: 'The size of the table says how many there are.',
    unseen: 'There is nothing else that would say it, and so nothing to compare it with.',
  },
  {
    ...device,
    id: 'pci.device.msix.3',
    level: 'SHOULD',
    text: 'There are no more than are of use.',
    unseen: 'Of how much use a vector is to a device is inside it.',
  },
  {
    ...device,
    id: 'pci.device.msix.4',
    level: 'MUST',
    text: 'Any event can be mapped to any vector.',
    unseen: 'A mapping that fails may be one that is impossible at the time; that it fails is pci.device.msix.8.',
  },
  {
    ...device,
    id: 'pci.device.msix.5',
    level: 'MUST',
    text: 'Any event can be mapped to none.',
    check: (findings) =>
      atReadBacks(findings, (read, written) => {
        if (written.value !== NO_VECTOR) return;
        if (read === NO_VECTOR) findings.passed();
        else findings.failed(`vector ${read} is still mapped`, written);
      }),
  },
  {
    ...device,
    id: 'pci.device.msix.6',
    level: 'MUST',
    text: 'A vector field shows the vector that is mapped, or none.',
    check: (findings) =>
      atReadBacks(findings, (read, written) => {
        if (written.value === NO_VECTOR) return;
        if (read === written.value || read === NO_VECTOR) findings.passed();
        else findings.failed(`vector ${written.value} was written, and ${read} is read back`, written);
      }),
  },
  {
    ...device,
    id: 'pci.device.msix.7',
    level: 'MUST',
    text: 'After a reset nothing is mapped.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atMappings(findings, ({ event, written }) => {
        const isNew = session.device === 'reset' || session.device === 'initializing';
        if (event.access === 'write' || written !== undefined || !isNew || session.accepted !== 0n) return;
        if (event.value === NO_VECTOR) passed();
        else failed(`vector ${event.value} is mapped after a reset`, session.deviceSince);
      });
    },
  },
  {
    ...device,
    id: 'pci.device.msix.8',
    level: 'SHOULD NOT',
    text: 'A mapping does not fail where it is possible.',
    check: (findings) =>
      atReadBacks(findings, (read, written, vectors) => {
        if (vectors === undefined || written.value >= vectors) return;
        if (read === NO_VECTOR) findings.failed(`vector ${written.value} of ${vectors} cannot be mapped`, written);
        else findings.passed();
      }),
  },
  {
    ...device,
    id: 'pci.device.msix.9',
    level: 'MUST',
    text: 'A mapping that fails shows none.',
    check: (findings) =>
      atReadBacks(findings, (read, written, vectors) => {
        if (vectors === undefined || written.value < vectors || written.value === NO_VECTOR) return;
        if (read === NO_VECTOR) findings.passed();
        else findings.failed(`vector ${read} is shown, and there are ${vectors}`, written);
      }),
  },
  {
    ...driver,
    id: 'pci.driver.msix.1',
    level: 'MUST',
    text: 'A driver works with a table of any size.',
    unseen: 'A trace is of one device, which has one table.',
  },
  {
    ...driver,
    id: 'pci.driver.msix.2',
    level: 'MAY',
    text: 'With a single vector a driver may use INTx.',
    unseen: PERMISSION,
  },
  {
    ...driver,
    id: 'pci.driver.msix.3',
    level: 'MAY',
    text: 'The size of the table may be taken for a hint.',
    unseen: PERMISSION,
  },
  {
    ...driver,
    id: 'pci.driver.msix.4',
    level: 'MUST NOT',
    text: 'Nothing is mapped to a vector that there is not.',
    check: (findings) =>
      atMappings(findings, ({ event, vectors }) => {
        if (event.access === 'read' || vectors === undefined || event.value === NO_VECTOR) return;
        if (event.value < vectors) findings.passed();
        else findings.failed(`vector ${event.value} is mapped, and there are ${vectors}`);
      }),
  },
  {
    ...driver,
    id: 'pci.driver.msix.5',
    level: 'MUST',
    text: 'A mapping is read back.',
    check: ({ passed, failed }) => {
      let written: Located<PciAccess> | undefined;
      return {
        pci: (event) => {
          const { structure, access, offset, value } = event;
          if (structure !== 'common') return;
          const isVector = offset === PciCommon.QUEUE_MSIX_VECTOR || offset === PciCommon.CONFIG_MSIX_VECTOR;
          if (written !== undefined && access === 'read' && offset === written.offset) {
            passed();
            written = undefined;
          } else if (written !== undefined && access === 'write' && isVectorLost(offset)) {
            if (offset !== PciCommon.DEVICE_STATUS || value !== 0)
              failed('the driver goes on before it has read the vector back', written);
            written = undefined;
          }
          if (access === 'write' && isVector && value !== NO_VECTOR) written = event;
        },
      };
    },
  },
  {
    ...driver,
    id: 'pci.driver.msix.6',
    level: 'MAY',
    text: 'A driver may try fewer vectors, do without MSI-X, or give up.',
    unseen: PERMISSION,
  },
];

/** Writes after which a mapping is in use, or not selected any more. */
function isVectorLost(offset: number): boolean {
  return ([PciCommon.QUEUE_SELECT, PciCommon.QUEUE_ENABLE, PciCommon.DEVICE_STATUS] as readonly number[]).includes(
    offset,
  );
}
