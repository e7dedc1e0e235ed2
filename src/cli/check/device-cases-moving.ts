import type { Bench } from './bench.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

/** The device that is connected now is another one than before. */
function move(bench: Bench): void {
  const { device } = bench;
  bench.move();
  expect(bench.device !== device, 'the device is where it was');
}

/** Requests that were offered before are done, and others after them. */
async function goesOn(driver: HandDriver, sectors: readonly number[]): Promise<void> {
  await driver.finish();
  expect(driver.completed.join() === sectors.join(), `${driver.completed} were done of ${sectors}`);
  await works(driver);
}

/** A device is saved at rest, and goes on in another one, with the same driver that notices nothing. */
export const moving: readonly DeviceCase[] = [
  {
    name: 'a device that is saved while it is suspended goes on in another one, in which it is suspended',
    requirements: [
      'move.device.rest',
      'move.device.still',
      'move.device.same',
      'move.device.queues',
      'suspend.device.9',
    ],
    needs: ['moves'],
    run: async (driver, bench) => {
      await driver.start();
      driver.send(1, 2, 3);
      await driver.finish();
      await driver.suspend();
      driver.offer(4, 5);
      move(bench);
      await driver.stays(0x1b);
      await driver.resume();
      await goesOn(driver, [1, 2, 3, 4, 5]);
      await driver.suspend();
      move(bench);
      await driver.resume();
      await works(driver);
    },
  },
  {
    name: 'a change that is held when a suspended device is saved is told by the one in which it goes on',
    requirements: ['move.device.same', 'suspend.device.7'],
    needs: ['moves', 'changes'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(72);
      move(bench);
      await driver.stays(0x1b);
      expect(driver.configInterrupts === interrupts, 'the change is told at rest');
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
      expect((await driver.transport.readConfig(0, 4)) === 72, 'the new size does not show');
    },
  },
  {
    name: 'a device that is saved while its host has paused it goes on in another one, and shows the driver nothing of that',
    requirements: ['move.device.rest', 'move.device.still', 'move.device.same', 'move.device.queues'],
    needs: ['moves'],
    run: async (driver, bench) => {
      await driver.start();
      driver.send(1, 2, 3);
      await driver.finish();
      await bench.device.pause();
      driver.send(4, 5);
      const before = driver.queueBytes();
      await driver.stays(0x0f);
      move(bench);
      await driver.stays(0x0f);
      expect(before.equals(driver.queueBytes()), 'something is written to the queue or its buffers while paused');
      bench.device.continue();
      await goesOn(driver, [1, 2, 3, 4, 5]);
    },
  },
];
