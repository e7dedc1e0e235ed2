import { Isr, PciHeader, PciStatus, VirtioPciCapType } from '../../spec/pci.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Interrupt, Located, PciAccess } from '../trace.ts';
import { hasCapability } from './pci-capabilities.ts';
import { FunctionSpace } from './pci-space.ts';

/** Calls back at each read of the ISR status, with the notifications since the one before; a reset forgets them. */
function atIsrReads(
  { session }: Findings,
  look: (
    event: Located<PciAccess>,
    since: readonly Located<Interrupt>[],
    space: FunctionSpace,
    isFirst: boolean,
  ) => void,
): Check {
  const space = new FunctionSpace();
  let since: Located<Interrupt>[] = [];
  let isFirst = true;
  return {
    interrupt: (event) => {
      if (!since.some(({ cause }) => cause === event.cause)) since.push(event);
    },
    'device.phase': ({ to }) => {
      // That of DEVICE_NEEDS_RESET may come as soon as it shows.
      if (to === 'resetting') since = [];
      if (to === 'resetting' || to === 'needsReset') isFirst = true;
    },
    pci: (event) => {
      space.follow(event);
      if (event.structure !== 'isr' || event.access === 'write') return;
      if (session.device !== 'resetting') look(event, since, space, isFirst);
      since = [];
      isFirst = false;
    },
  };
}

const device = { section: '§4.1.4.5.1', level: 'MUST', role: 'device' } as const;

/** The ISR status over PCI (§4.1.4.5). */
export const pciInterrupts: readonly Requirement[] = [
  {
    ...device,
    id: 'pci.device.isr.1',
    text: 'There is an ISR status.',
    check: hasCapability(VirtioPciCapType.ISR, 'the ISR status'),
  },
  {
    ...device,
    id: 'pci.device.isr.2',
    text: 'The ISR status shows a change of the configuration before that is told.',
    check: (findings) =>
      atIsrReads(findings, ({ value }, since) => {
        const told = since.find(({ cause }) => cause === 'config');
        if (told === undefined) return;
        if ((value & Isr.CONFIG) !== 0) findings.passed();
        else findings.failed('the ISR status does not show the change that was told', told);
      }),
  },
  {
    ...device,
    id: 'pci.device.isr.3',
    text: 'Without MSI-X, the ISR status shows used buffers before they are told.',
    check: (findings) =>
      atIsrReads(findings, ({ value }, since, space) => {
        const told = since.find(({ cause }) => cause === 'used');
        if (told === undefined || space.msixEnabled) return;
        if ((value & Isr.QUEUE) !== 0) findings.passed();
        else findings.failed('the ISR status does not show the buffers that were told', told);
      }),
  },
  {
    ...device,
    id: 'pci.device.isr.4',
    text: 'Without MSI-X, the interrupt status of the function is whether the ISR status shows anything.',
    check: ({ passed, failed }) => {
      const space = new FunctionSpace();
      let told: Located<Interrupt> | undefined;
      return {
        interrupt: (event) => {
          told ??= event;
        },
        'status.write': ({ value }) => {
          if (value === 0) told = undefined;
        },
        pci: (event) => {
          space.follow(event);
          const { structure, access, offset, width, value } = event;
          if (structure === 'isr' && access === 'read') told = undefined;
          if (structure !== 'space' || access !== 'read' || offset !== PciHeader.STATUS || width !== 2) return;
          if (told === undefined || space.msixEnabled) return;
          if ((value & PciStatus.INTERRUPT) !== 0) passed();
          else failed('the interrupt status is 0 though something was told', told);
        },
      };
    },
  },
  {
    ...device,
    id: 'pci.device.isr.5',
    text: 'A read of the ISR status clears it.',
    check: (findings) => {
      let before: Located<PciAccess> | undefined;
      let isTold = false;
      const check = atIsrReads(findings, (event, since, _, isFirst) => {
        // Only a trace with notifications says what came between two reads.
        if (since.length > 0) isTold = true;
        if (isTold && !isFirst && before !== undefined) {
          const came = since.reduce((bits, { cause }) => bits | (cause === 'used' ? Isr.QUEUE : Isr.CONFIG), 0);
          const kept = event.value & before.value & ~came;
          if (kept === 0) findings.passed();
          else findings.failed(`0x${kept.toString(16)} is read again, and nothing has come`, before);
        }
        before = event;
      });
      return check;
    },
  },
  {
    id: 'pci.driver.isr.1',
    section: '§4.1.4.5.2',
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'With MSI-X, the ISR status is left alone when buffers are told.',
    check: (findings) =>
      atIsrReads(findings, (_, since, space) => {
        if (!space.msixEnabled || since.length === 0) return;
        const other = since.some(({ cause }) => cause === 'config');
        if (other) findings.passed();
        else findings.failed('the ISR status is read for used buffers, which have a message of their own', since[0]);
      }),
  },
];
