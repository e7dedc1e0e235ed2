import { Status } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';
import { buffersStayOut } from './buffers-back.ts';
import { isEmergencyWrite } from './config.ts';
import { ringEntriesStay } from './ring-entries.ts';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED } = Status;

/** What a driver does while it initialises a device, and the bits that have to be written before it. */
const STEPS = {
  DRIVER: ACKNOWLEDGE,
  FEATURES: ACKNOWLEDGE | DRIVER,
  QUEUES: FEATURES_OK,
} as const;

/** Device initialisation (§3.1) and cleanup (§3.3). */
export const init: readonly Requirement[] = [
  {
    id: 'init.driver.1',
    section: '§3.1.1',
    level: 'MUST',
    role: 'driver',
    text: 'The steps come in order: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, a look at it, queues, DRIVER_OK.',
    check: ({ session, passed, failed }) => {
      let wasReset = false;
      let inOrder = true;
      let looked = false;
      const wrong = (message: string): void => {
        inOrder = false;
        failed(message, session.driverSince);
      };
      const needs = (bits: number, what: string): void => {
        if (session.driver !== 'initializing' && session.driver !== 'reset') return;
        if ((bits & ~(session.written ?? 0)) !== 0) wrong(what);
      };
      const advance = (value: number): void => {
        if (session.driver === 'unknown' && !wasReset) wrong('the initialisation does not begin with a reset');
        if ((value & DRIVER) !== 0 && (value & ACKNOWLEDGE) === 0)
          needs(STEPS.DRIVER, 'DRIVER is set before ACKNOWLEDGE');
        const before = session.written ?? 0;
        if ((value & DRIVER_OK) !== 0 && (value & FEATURES_OK) !== 0 && !((before & FEATURES_OK) !== 0 && looked)) {
          wrong('DRIVER_OK is set without a look at whether FEATURES_OK is still set');
        }
        if ((value & FEATURES_OK) !== 0 && (before & FEATURES_OK) === 0) looked = false;
      };
      return {
        'status.read': () => {
          looked = true;
        },
        'features.driver': () => needs(STEPS.FEATURES, 'features are written before ACKNOWLEDGE and DRIVER are set'),
        'queue.enable': () => needs(STEPS.QUEUES, 'a queue is enabled before FEATURES_OK is set'),
        'status.write': ({ value }) => {
          if (value === 0) {
            wasReset = inOrder = true;
          } else if (['unknown', 'reset', 'initializing'].includes(session.driver) && (value & FAILED) === 0) {
            advance(value);
          }
        },
        'driver.phase': ({ from, to }) => from === 'initializing' && to === 'running' && inOrder && passed(),
      };
    },
  },
  {
    id: 'init.driver.2',
    section: '§3.1.1',
    level: 'MAY',
    role: 'driver',
    text: 'The configuration space may be read while features are chosen.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'init.driver.3',
    section: '§3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The configuration space is not written while features are chosen.',
    check: ({ session, passed, failed }) => ({
      'config.write': (event) => {
        if (session.driver !== 'initializing' && session.driver !== 'reset') return;
        if (((session.written ?? 0) & FEATURES_OK) !== 0 || isEmergencyWrite(session.header.device, event)) return;
        failed('the configuration space is written before FEATURES_OK', session.driverSince);
      },
      'driver.phase': ({ from, to }) => from === 'initializing' && to === 'running' && passed(),
    }),
  },
  {
    id: 'init.driver.4',
    section: '§3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'After FEATURES_OK nothing more is accepted.',
    check: ({ session, passed, failed }) => ({
      'features.driver': ({ word, bits }) => {
        if (((session.written ?? 0) & FEATURES_OK) === 0 || session.refused) return;
        const known = Number((session.accepted >> BigInt(32 * word)) & 0xffff_ffffn);
        if ((bits & ~known) !== 0) failed('a feature is accepted after FEATURES_OK was set');
      },
      'driver.phase': ({ from, to }) => from === 'initializing' && to === 'running' && passed(),
    }),
  },
  {
    id: 'init.driver.5',
    section: '§3.1.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'A driver that cannot go on sets FAILED.',
    check: ({ session, passed, failed }) => {
      let refusal: Located | undefined;
      return {
        'status.read': (event) => {
          const isRefused = ((session.written ?? 0) & FEATURES_OK) !== 0 && (event.value & FEATURES_OK) === 0;
          if (session.driver === 'initializing' && isRefused && event.value !== 0) refusal ??= event;
        },
        'status.write': ({ value }) => {
          if ((value & FAILED) !== 0 && session.driver === 'initializing') passed();
          refusal = undefined;
        },
        end: () => {
          if (refusal !== undefined) failed('the choice of features is refused, and nothing follows', refusal);
        },
      };
    },
  },
  {
    id: 'init.driver.6',
    section: '§3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A driver whose choice of features was refused, or that has set FAILED, does not go on.',
    check: ({ session, passed, failed }) => {
      const refused = (): boolean => session.driver === 'failed' || session.refused;
      const goesOn = (): void => {
        if (refused()) failed('the initialisation goes on', session.driverSince);
      };
      return {
        'queue.enable': goesOn,
        'status.write': ({ value }) => {
          if (!refused()) return;
          if (session.driver === 'failed') {
            if (value === 0) passed();
          } else if ((value & DRIVER_OK) !== 0 && (value & FAILED) === 0) goesOn();
          else passed();
        },
      };
    },
  },
  {
    id: 'init.driver.7',
    section: '§3.1.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'No queue is kicked before DRIVER_OK.',
    check: ({ session, passed, failed }) => ({
      kick: () => {
        const isEarly = session.driver === 'reset' || session.driver === 'initializing';
        if (isEarly) failed('a queue is kicked before DRIVER_OK', session.driverSince);
      },
      'driver.phase': ({ from, to }) => from === 'initializing' && to === 'running' && passed(),
    }),
  },
  ringEntriesStay,
  buffersStayOut,
];
