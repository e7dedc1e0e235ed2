import { Status } from '../../spec/status.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, works } from './device-case.ts';

const { DRIVER_OK } = Status;

/** More than any device is asked for here. */
const EVERY_QUEUE = 4;

/** While the device rests. */
export const atRest: readonly DeviceCase[] = [
  {
    name: 'kicks of every queue and new buffers at rest are left alone until the resume, also with anything in its memory',
    requirements: ['suspend.device.3', 'suspend.device.4'],
    run: async (driver) => {
      await driver.start({ queues: EVERY_QUEUE });
      await works(driver);
      await driver.suspend();
      for (const queue of driver.queues) queue.send(11 + queue.index, 12 + queue.index);
      const before = driver.queueBytes();
      const interrupts = driver.usedInterrupts;
      await driver.stays(0x1b);
      await driver.poisoned(async () => {
        for (const queue of driver.queues) queue.kick();
        await driver.stays(0x1b);
      });
      expect(before.equals(driver.queueBytes()), 'something is written to queues or buffers at rest');
      expect(driver.usedInterrupts === interrupts, 'an interrupt is raised at rest');
      driver.collect();
      expect(driver.outstanding === 2 * driver.queues.length, 'requests are done at rest');
      await driver.resume();
      await driver.finish();
    },
  },
  ...[0x1b, 0x0b, 0x03].map(
    (value): DeviceCase => ({
      name: `a write of 0x${value.toString(16).padStart(2, '0')} at rest changes nothing`,
      requirements: ['status.device.bits'],
      run: async (driver) => {
        await driver.start();
        await driver.suspend();
        await driver.write(value);
        await driver.stays(0x1b);
        await driver.resume();
        await works(driver);
      },
    }),
  ),
  {
    name: 'FAILED at rest does not resume',
    requirements: ['status.device.bits'],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      await driver.write(0x9f);
      for (let n = 0; n < 10; n++) expect(((await driver.status()) & DRIVER_OK) === 0, 'the device runs');
      await driver.start();
      await works(driver);
    },
  },
];
