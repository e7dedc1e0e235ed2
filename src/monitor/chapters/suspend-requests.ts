import { describeStatus, Status } from '../../spec/status.ts';
import type { Check, Findings, Rule } from '../rule.ts';
import type { Located, StatusRead, StatusShown } from '../trace.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

type Way = 'suspending' | 'resuming';

/** A request of the driver ends in a status that it is `done` by, or in DEVICE_NEEDS_RESET. */
function endsIn({ session, passed, failed }: Findings, way: Way, done: (status: number) => boolean): Check {
  const opposite = way === 'suspending' ? DRIVER_OK : SUSPEND;
  let request: Located | undefined;
  let read: Located<StatusRead> | undefined;
  /** The driver has asked again: a device that was done by then does the opposite. */
  let isUnclear = false;
  const look = ({ value }: StatusRead | StatusShown): void => {
    if (request === undefined || (!done(value) && (value & DEVICE_NEEDS_RESET) === 0)) return;
    passed();
    request = undefined;
  };
  const stuck = (): void => {
    if (request !== undefined && read !== undefined && !isUnclear)
      failed(`the device shows ${describeStatus(read.value)}, and is never through with ${way}`, request, read);
    request = undefined;
  };
  return {
    'status.read': (event) => {
      read = event;
      look(event);
    },
    'status.shown': look,
    'status.write': ({ value }) => {
      // A driver that has waited long enough gives the device up.
      if ((value & FAILED) !== 0) stuck();
      else if (request !== undefined && (value & opposite) !== 0) isUnclear = true;
    },
    'device.phase': ({ to }) => {
      request = to === way ? session.deviceSince : undefined;
      read = undefined;
      isUnclear = false;
    },
    end: stuck,
  };
}

const pairIs = (pair: number) => (status: number) => (status & (SUSPEND | DRIVER_OK)) === pair;
const has = (bit: number) => (status: number) => (status & bit) !== 0;

/**
 * What a request leads to (§3.4.2). In the patch it MUST lead to it, but that the device clears the other bit is a SHOULD there: two
 * rules then, of which the stricter one asks for less.
 */
export const suspendRequests: readonly Rule[] = [
  {
    id: 'suspend.device.8',
    section: '§3.4.2',
    level: 'MUST',
    inPatch: 'SHOULD',
    role: 'device',
    text: 'A request to suspend ends in SUSPEND without DRIVER_OK, or in DEVICE_NEEDS_RESET.',
    check: (findings) => endsIn(findings, 'suspending', pairIs(SUSPEND)),
  },
  {
    id: 'suspend.device.9',
    section: '§3.4.2',
    level: 'MUST',
    inPatch: 'SHOULD',
    role: 'device',
    text: 'A request to resume ends in DRIVER_OK without SUSPEND, or in DEVICE_NEEDS_RESET.',
    check: (findings) => endsIn(findings, 'resuming', pairIs(DRIVER_OK)),
  },
  {
    id: 'suspend.device.suspends',
    section: '§3.4.2',
    level: 'MUST',
    onlyInPatch: true,
    role: 'device',
    text: 'A request to suspend ends in SUSPEND, whatever becomes of DRIVER_OK, or in DEVICE_NEEDS_RESET.',
    check: (findings) => endsIn(findings, 'suspending', has(SUSPEND)),
  },
  {
    id: 'suspend.device.resumes',
    section: '§3.4.2',
    level: 'MUST',
    onlyInPatch: true,
    role: 'device',
    text: 'A request to resume ends in DRIVER_OK, whatever becomes of SUSPEND, or in DEVICE_NEEDS_RESET.',
    check: (findings) => endsIn(findings, 'resuming', has(DRIVER_OK)),
  },
];
