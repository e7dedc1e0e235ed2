import { DeviceId } from '../../spec/device-ids.ts';
import { Status } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { BufferAvailable, ConfigWrite, Located } from '../trace.ts';
import { ofType } from './device-type.ts';

/** Feature bit (§5.3.3), and its field of the configuration space (§5.3.4). */
const EMERG_WRITE = 2;
const EMERG_WR = 8;

/** Queues 2 and 3 are for control messages; of the others, the even ones are for input (§5.3.2). */
function directionOf({ queue }: BufferAvailable): 'input' | 'output' | 'control' {
  if (queue === 2 || queue === 3) return 'control';
  return queue % 2 === 0 ? 'input' : 'output';
}

/** Console device (§5.3). */
export const consoleDevice: readonly Requirement[] = [
  {
    id: 'console.device.init.1',
    section: '§5.3.5.1',
    level: 'MUST',
    role: 'device',
    text: 'An emergency write is taken at any time, even before the device is configured.',
    check: ofType(DeviceId.CONSOLE, ({ session, passed, failed }) => {
      let write: Located<ConfigWrite> | undefined;
      const judge = ({ value }: { readonly value: number }): void => {
        if (write === undefined || value === 0) return;
        if ((value & Status.DEVICE_NEEDS_RESET) === 0) passed();
        else failed('the device wants a reset after an emergency write', write);
        write = undefined;
      };
      return {
        'config.write': (event) => {
          const isHealthy = session.device === 'reset' || session.device === 'initializing';
          if (event.offset === EMERG_WR && session.offers(EMERG_WRITE) && isHealthy) write = event;
        },
        'status.read': judge,
        'status.shown': judge,
      };
    }),
  },
  {
    id: 'console.device.init.2',
    section: '§5.3.5.1',
    level: 'SHOULD',
    role: 'device',
    text: 'Its low byte goes to a log or to the output.',
    unseen: 'Where its output goes, and whether to a log, is behind the device.',
  },
  {
    id: 'console.driver.op.1',
    section: '§5.3.6.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A buffer for input has nothing for the device to read.',
    check: ofType(DeviceId.CONSOLE, ({ passed, failed }) => ({
      'buffer.available': (event) => {
        const { readable } = event;
        if (directionOf(event) !== 'input' || readable === undefined) return;
        if (readable === 0) passed();
        else failed(`${readable} bytes are for the device to read`);
      },
    })),
  },
  {
    id: 'console.driver.op.2',
    section: '§5.3.6.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A buffer with output has nothing for the device to write.',
    check: ofType(DeviceId.CONSOLE, ({ passed, failed }) => ({
      'buffer.available': (event) => {
        const { writable } = event;
        if (directionOf(event) !== 'output' || writable === undefined) return;
        if (writable === 0) passed();
        else failed(`${writable} bytes are for the device to write`);
      },
    })),
  },
];
