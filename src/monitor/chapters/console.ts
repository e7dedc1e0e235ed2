import { DeviceId } from '../../spec/device-ids.ts';
import type { Requirement } from '../rule.ts';
import type { BufferAvailable } from '../trace.ts';
import { CONTENTS, ofType, unseenOf } from './device-type.ts';

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
    unseen: 'What becomes of it is behind the device.',
  },
  {
    id: 'console.device.init.2',
    section: '§5.3.5.1',
    level: 'SHOULD',
    role: 'device',
    text: 'Its low byte goes to a log or to the output.',
    unseen: 'What becomes of it is behind the device.',
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
  ...unseenOf({ prefix: 'console.device.multiport', section: '§5.3.6.2.1', role: 'device' }, CONTENTS, {
    1: ['MUST NOT', 'A port is added once, and only below max_nr_ports.'],
    2: ['MUST NOT', 'Only a port that was added is removed.'],
  }),
  ...unseenOf({ prefix: 'console.driver.multiport', section: '§5.3.6.2.2', role: 'driver' }, CONTENTS, {
    1: ['MUST', 'With MULTIPORT the driver says that it is ready.'],
    2: ['SHOULD', 'A port that is named a console becomes one for text.'],
    3: ['MUST', 'Its naming is answered with the opening of the port.'],
    4: ['MUST', 'The value of that answer is 1.'],
  }),
];
