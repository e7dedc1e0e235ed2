import { Feature } from '../../spec/features.ts';
import { describeStatus, Status } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

/** Bits that only the driver sets, and that it may not take back. */
const DRIVERS_OWN = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | SUSPEND | FAILED;
/** Bits that stay until a reset. */
const LASTING = ACKNOWLEDGE | DRIVER | FEATURES_OK | DEVICE_NEEDS_RESET | FAILED;
/** The two bits that say whether the device runs, or is suspended. */
const PAIR = DRIVER_OK | SUSPEND;

/** Device status field (§2.1). */
export const status: readonly Requirement[] = [
  {
    id: 'status.driver.1',
    section: '§2.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'Each step of the initialisation sets its bit: DRIVER_OK comes with those of the steps before.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        const starts = session.driver === 'initializing' || session.driver === 'reset';
        if (!starts || (value & DRIVER_OK) === 0 || (value & FAILED) !== 0) return;
        const missing = (ACKNOWLEDGE | DRIVER | FEATURES_OK) & ~value & ~(session.written ?? 0);
        if (missing === 0) passed();
        else failed(`DRIVER_OK is set without ${describeStatus(missing)}`);
      },
    }),
  },
  {
    id: 'status.driver.2',
    section: '§2.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'No bit of the status is cleared but by a reset.',
    check: ({ session, passed, failed }) => {
      let read: Located | undefined;
      return {
        'status.read': (event) => {
          read = event;
        },
        'status.write': (event) => {
          // What the device has changed since, the driver has to read before it can keep it.
          const cleared = session.known & DRIVERS_OWN & ~event.value;
          if (event.value === 0 || session.driver === 'failed') return;
          if (cleared === 0) passed();
          else failed(`${describeStatus(event.value)} is written, without ${describeStatus(cleared)}`, read);
        },
      };
    },
  },
  {
    id: 'status.driver.3',
    section: '§2.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'After FAILED the device is reset before anything else is tried.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        if (session.driver !== 'failed') return;
        if (value === 0) passed();
        else if ((value & ~(session.written ?? 0)) !== 0)
          failed(`${describeStatus(value)} is written to a device that was given up`, session.driverSince);
      },
    }),
  },
  {
    id: 'status.driver.4',
    section: '§2.1.1',
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'Once DEVICE_NEEDS_RESET shows, nothing that is out is expected to come back.',
    unseen: 'What a driver expects is inside it.',
  },
  {
    id: 'status.device.1',
    section: '§2.1.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'No buffer is taken and no used buffer notification sent before DRIVER_OK.',
    check: ({ session, passed, failed }) => {
      const early = (): void => {
        if (session.device === 'initializing') failed('before DRIVER_OK', session.deviceSince);
      };
      return {
        'buffer.taken': early,
        'buffer.used': early,
        interrupt: ({ cause }) => cause === 'used' && early(),
        'device.phase': ({ from, to }) => from === 'initializing' && to === 'running' && passed(),
      };
    },
  },
  {
    id: 'status.device.2',
    section: '§2.1.2',
    level: 'SHOULD',
    role: 'device',
    text: 'A device that only a reset can bring back shows DEVICE_NEEDS_RESET.',
    unseen: 'Whether a device could have gone on is inside it.',
  },
  {
    id: 'status.device.3',
    section: '§2.1.2',
    level: 'MUST',
    role: 'device',
    text: 'With DRIVER_OK set, DEVICE_NEEDS_RESET is followed by a configuration change notification.',
    check: ({ session, passed, failed }) => {
      let owed: Located | undefined;
      let toldAlready = false;
      const look = (event: Located & { readonly value: number }): void => {
        const both = DEVICE_NEEDS_RESET | DRIVER_OK;
        if (session.device === 'needsReset' || session.device === 'resetting') return;
        // A driver may learn from the notification that there is something to read.
        if ((event.value & both) === both) {
          if (event.kind === 'status.read' && toldAlready) passed();
          else owed = event;
        }
        toldAlready = false;
      };
      const check = (): void => {
        if (owed !== undefined) failed('the driver was not told of DEVICE_NEEDS_RESET', owed);
        owed = undefined;
      };
      return {
        'status.shown': look,
        'status.read': look,
        interrupt: ({ cause }) => {
          if (cause !== 'config') return;
          toldAlready = true;
          if (owed !== undefined) passed();
          owed = undefined;
        },
        'status.write': ({ value }) => value === 0 && check(),
        end: check,
      };
    },
  },
  {
    id: 'status.device.lost',
    section: '§2.1',
    level: 'MUST',
    role: 'device',
    text: 'The status goes back to 0 by a reset alone.',
    check: ({ session, passed, failed }) => {
      const look = ({ value }: { readonly value: number }): void => {
        // One that takes nothing of the first write still shows 0.
        if (value === 0 && (session.shown ?? 0) !== 0 && session.device !== 'resetting') {
          failed('the status is 0 though nobody has reset the device', session.deviceSince);
        }
      };
      return {
        'status.shown': look,
        'status.read': look,
        'device.phase': ({ to }) => to === 'running' && passed(),
      };
    },
  },
  {
    id: 'status.device.bits',
    section: '§2.1',
    level: 'MUST',
    role: 'device',
    text: 'What is set stays set until a reset; SUSPEND and DRIVER_OK change by suspend and resume alone.',
    check: ({ session, passed, failed }) => {
      /** The driver has asked when it must not have, and the trace does not show what the device was by then. */
      let isUnclear = false;
      const look = ({ value }: { readonly value: number }): void => {
        const { shown = 0, device } = session;
        if (value === 0 || shown === 0 || device === 'resetting') return;
        const gone = shown & LASTING & ~value;
        const pair = device === 'running' ? DRIVER_OK : SUSPEND;
        // On the way in and out either bit may change before the other.
        const isAtHome = (device === 'running' || device === 'suspended') && (shown & PAIR) === pair;
        if (gone !== 0) failed(`${describeStatus(gone)} is gone from the status`, session.deviceSince);
        else if (isAtHome && (value & PAIR) !== pair && !isUnclear && (value & DEVICE_NEEDS_RESET) === 0)
          failed(`${describeStatus(value)} is shown though the driver has not asked for it`, session.deviceSince);
        else passed();
      };
      return {
        'status.write': ({ value }) => {
          const { device } = session;
          const isOnTheWay = device === 'suspending' || device === 'resuming';
          const mayNot =
            !isOnTheWay && device !== 'suspended' && !(device === 'running' && session.has(Feature.SUSPEND));
          if (value === 0) isUnclear = false;
          else if ((isOnTheWay && (value & PAIR) !== 0) || (mayNot && (value & SUSPEND) !== 0)) isUnclear = true;
        },
        'status.shown': look,
        'status.read': look,
      };
    },
  },
  {
    id: 'status.device.stopped',
    section: '§2.1',
    level: 'SHOULD NOT',
    role: 'device',
    text: 'A device that shows DEVICE_NEEDS_RESET takes no more buffers.',
    check: ({ session, passed, failed }) => {
      /** Whether the trace says what is taken. */
      let isKnown = false;
      let isBroken = false;
      return {
        'buffer.taken': ({ queue, id }) => {
          isKnown = true;
          if (session.device !== 'needsReset') return;
          isBroken = true;
          failed(`buffer ${id} of queue ${queue} is taken after DEVICE_NEEDS_RESET`, session.deviceSince);
        },
        'device.phase': ({ from }) => {
          if (from === 'needsReset' && isKnown && !isBroken) passed();
          isBroken = false;
        },
      };
    },
  },
];
