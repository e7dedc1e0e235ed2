import { Feature } from '../../spec/features.ts';
import { describeStatus, Status } from '../../spec/status.ts';
import type { Findings, PhaseChange, Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

/** From the request to suspend until the request to resume. */
function isHeld({ session }: Findings): boolean {
  return session.driver === 'suspending' || session.driver === 'suspended';
}

/** What a driver does not do while it is held: a failure each time it does, and a pass for each suspend without one. */
function whileHeld(
  findings: Findings,
  what: string,
): { does: () => void; 'driver.phase': (change: PhaseChange<'driver.phase'>) => void } {
  const { session, passed, failed } = findings;
  let broken = false;
  return {
    does: () => {
      if (!isHeld(findings)) return;
      broken = true;
      failed(`${what} while the driver is ${session.driver}`, session.driverSince);
    },
    'driver.phase': ({ from, to }) => {
      if (to === 'suspending') broken = false;
      else if (from === 'suspending' && to === 'suspended' && !broken) passed();
    },
  };
}

/** Device suspend, what the driver does (§3.4.1). */
export const suspendDriver: readonly Requirement[] = [
  {
    id: 'suspend.driver.1',
    section: '§3.4.1',
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'SUSPEND is set only after DRIVER_OK, and only when VIRTIO_F_SUSPEND was negotiated.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        const isNew = (value & SUSPEND) !== 0 && (session.known & SUSPEND) === 0;
        if (!isNew || (value & FAILED) !== 0) return;
        if (session.driver === 'reset' || session.driver === 'initializing') {
          failed('SUSPEND is set before DRIVER_OK', session.driverSince);
        } else if (session.driver === 'running') {
          if (session.has(Feature.SUSPEND)) passed();
          else failed('SUSPEND is set without VIRTIO_F_SUSPEND', session.driverSince);
        }
      },
    }),
  },
  {
    id: 'suspend.driver.2',
    section: '§3.4.1',
    level: 'MUST',
    role: 'driver',
    text: 'After the request the status is read until SUSPEND is 1 and DRIVER_OK is 0, before the driver goes on.',
    check: ({ session, passed, failed }) => {
      let request: Located | undefined;
      let reads = 0;
      return {
        'status.read': () => {
          reads++;
        },
        'status.write': ({ value }) => {
          if (session.driver !== 'suspending' || value === 0 || (value & FAILED) !== 0) return;
          failed(`${describeStatus(value)} is written before the device was seen to be suspended`, request);
        },
        'driver.phase': ({ from, to }) => {
          if (from === 'suspending' && to === 'suspended') passed();
          request = to === 'suspending' ? session.driverSince : undefined;
          reads = 0;
        },
        end: () => {
          if (request !== undefined && reads === 0) failed('the status is never read after the request', request);
        },
      };
    },
  },
  {
    id: 'suspend.driver.3',
    section: '§3.4.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'From the request on no further buffer is made available.',
    check: (findings) => {
      const { does, ...rest } = whileHeld(findings, 'a buffer is made available');
      return { 'buffer.available': does, ...rest };
    },
  },
  {
    id: 'suspend.driver.4',
    section: '§3.4.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'From the request on no queue is kicked.',
    check: (findings) => {
      const { does, ...rest } = whileHeld(findings, 'a queue is kicked');
      return { kick: does, ...rest };
    },
  },
  {
    id: 'suspend.driver.5',
    section: '§3.4.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'From the request on nothing is written to the configuration space, but for the status.',
    check: (findings) => {
      const { does, ...rest } = whileHeld(findings, 'the configuration space is written');
      return { 'config.write': does, ...rest };
    },
  },
  {
    id: 'suspend.driver.6',
    section: '§3.4.1',
    level: 'MUST',
    inPatch: null,
    role: 'driver',
    text: 'After the request to resume the driver waits until SUSPEND is 0 and DRIVER_OK is 1 before it works again.',
    check: ({ session, passed, failed }) => {
      const early = (what: string) => (): void => {
        if (session.driver === 'resuming')
          failed(`${what} before the device was seen to run again`, session.driverSince);
      };
      const asksAgain = early('SUSPEND is written');
      return {
        // To a device that runs already it is a request to suspend.
        'status.write': ({ value }) => (value & SUSPEND) !== 0 && (value & FAILED) === 0 && asksAgain(),
        kick: early('a queue is kicked'),
        'buffer.available': early('a buffer is made available'),
        'config.write': early('the configuration space is written'),
        'queue.enable': early('a queue is enabled'),
        'queue.reset': early('a queue is reset'),
        'driver.phase': ({ from, to }) => from === 'resuming' && to === 'running' && passed(),
      };
    },
  },
  {
    id: 'suspend.driver.seen',
    section: '§3.4.1',
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'A device that was seen to be suspended, by those two bits, is not given up as if it were not.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        if (session.driver !== 'suspended' || (value & FAILED) === 0) return;
        const pair = session.known & (SUSPEND | DRIVER_OK | DEVICE_NEEDS_RESET);
        if (pair === SUSPEND) failed('FAILED is set at rest', session.driverSince);
      },
      'driver.phase': ({ from, to }) => from === 'suspended' && to === 'resuming' && passed(),
    }),
  },
];
