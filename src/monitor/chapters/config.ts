import { DeviceId } from '../../spec/device-ids.ts';
import { Status } from '../../spec/status.ts';
import { BlockField } from '../block-format.ts';
import { guardOf, isWideField } from '../feature-tables.ts';
import type { Requirement } from '../rule.ts';
import type { ConfigRead, ConfigWrite, Located } from '../trace.ts';

const { FEATURES_OK, SUSPEND } = Status;

/** Device configuration space (§2.5), shared memory regions (§2.10). */
export const config: readonly Requirement[] = [
  {
    id: 'config.driver.1',
    section: '§2.5.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Neither fields of more than 32 bits nor several fields are taken for read at one moment.',
    unseen: 'What a driver takes for granted is inside it; that it looks at the generation is config.driver.2.',
  },
  {
    id: 'config.driver.2',
    section: '§2.5.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'The halves of a field are read between two looks at the generation that agree.',
    check: ({ session, passed, failed }) => {
      let generation: number | undefined;
      let half: Located<ConfigRead> | undefined;
      let whole: Located<ConfigRead> | undefined;
      let started: number | undefined;
      return {
        'config.generation': ({ value }) => {
          if (whole !== undefined && started !== undefined) {
            // What differs is read again, which begins anew here.
            if (value === started) passed();
            whole = undefined;
          }
          generation = value;
        },
        'config.read': (event) => {
          if (isWideField(session.header.device, event.offset)) {
            half = event;
            started = generation;
          } else if (half !== undefined && event.offset === half.offset + 4) {
            if (started === undefined) failed('a field of 64 bits is read without a look at the generation', half);
            else whole = event;
            half = undefined;
          }
        },
        'status.write': ({ value }) => {
          // A driver may suspend and resume while it reads, and go on.
          if ((value & SUSPEND) !== 0) return;
          if (whole !== undefined) failed('the generation is not looked at again after both halves', whole);
          whole = generation = undefined;
        },
      };
    },
  },
  {
    id: 'config.driver.3',
    section: '§2.5.1',
    level: 'MUST',
    role: 'driver',
    text: 'A field that belongs to a feature is left alone unless that is offered.',
    check: ({ session, passed, failed }) => {
      const look = ({ offset }: ConfigRead | ConfigWrite): void => {
        const guard = guardOf(session.header.device, offset);
        if (guard === undefined || !guard.every((bit) => session.knows(bit))) return;
        if (guard.some((bit) => session.offers(bit))) passed();
        else failed(`the field at ${offset} needs feature ${guard.join(' or ')}, which is not offered`);
      };
      return { 'config.read': look, 'config.write': look };
    },
  },
  {
    id: 'config.driver.4',
    section: '§2.5.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A configuration space that is larger than expected is accepted.',
    unseen: 'Why a driver gives a device up is inside it.',
  },
  {
    id: 'config.driver.5',
    section: '§2.5.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'The driver checks only that the space is large enough.',
    unseen: 'A check is inside the driver.',
  },
  {
    id: 'config.device.1',
    section: '§2.5.2',
    level: 'MUST',
    role: 'device',
    text: 'Every field of the space can be read before FEATURES_OK, those of offered features among them.',
    check: ({ session, passed, failed }) => {
      /** What was read before FEATURES_OK, until it may be another value. */
      const early = new Map<string, Located<ConfigRead>>();
      const forget = (): void => early.clear();
      return {
        'config.read': (event) => {
          const { offset, width, value } = event;
          const field = `${offset}:${width}`;
          const isEarly = session.driver === 'initializing' && ((session.written ?? 0) & FEATURES_OK) === 0;
          const before = early.get(field);
          if (isEarly) early.set(field, event);
          if (before === undefined || session.driver !== 'running') return;
          early.delete(field);
          // Which cache mode there is depends on what was negotiated.
          const depends = session.header.device === DeviceId.BLOCK && offset === BlockField.WRITEBACK;
          if (value === 0 || depends) return;
          if (before.value === value) passed();
          else if (before.value === 0) failed(`the field at ${offset} could not be read before FEATURES_OK`, before);
        },
        'config.write': forget,
        'config.changed': forget,
        interrupt: ({ cause }) => cause === 'config' && forget(),
        'status.write': ({ value }) => value === 0 && forget(),
      };
    },
  },
  {
    id: 'config.device.shm.1',
    section: '§2.10.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'Shared memory regions neither control the device nor carry streams of data.',
    unseen: 'What a region is for is a matter of the device type, which is no part of a trace.',
  },
];

/** A console's emergency write is taken at any time (§5.3.5). */
export function isEmergencyWrite(device: number, { offset }: ConfigWrite): boolean {
  return device === DeviceId.CONSOLE && offset === 8;
}
