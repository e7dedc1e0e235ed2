import { ConsoleConfig, ConsoleFeature } from '../../devices/console/layout.ts';
import { expect } from './case-failed.ts';
import type { DeviceCase } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';
import { waitingKinds } from './waiting-types.ts';

const ROOM = 4;

function expectAllWaiting(driver: HandDriver, what: string): void {
  driver.collect();
  expect(driver.outstanding === ROOM, what);
}

/** Buffers that wait for something to come: they are not in processing, and delay nothing. */
export const waiting: readonly DeviceCase[] = [
  ...waitingKinds.flatMap((kind): readonly DeviceCase[] => [
    {
      name: `buffers that only wait delay no suspend of the ${kind}, and stay with it`,
      requirements: ['suspend.device.4', 'suspend.device.8', 'suspend.device.9'],
      type: kind,
      needs: ['arrivals'],
      run: async (driver, bench) => {
        await driver.start();
        driver.queue.sendRoom(ROOM);
        await driver.suspend();
        expectAllWaiting(driver, 'buffers come back for the suspend');
        await driver.resume();
        await driver.stays(0x0f);
        expectAllWaiting(driver, 'buffers come back for the resume');
        bench.arrive();
        await driver.until('a buffer with what has come', () => driver.outstanding < ROOM);
      },
    },
    {
      name: `what comes to the ${kind} at rest touches no buffer and tells nobody before the resume`,
      requirements: ['suspend.device.3', 'suspend.device.4'],
      type: kind,
      needs: ['arrivals'],
      run: async (driver, bench) => {
        await driver.start();
        driver.queue.sendRoom(ROOM);
        await driver.suspend();
        const interrupts = driver.usedInterrupts;
        const before = driver.queueBytes();
        bench.arrive();
        await driver.stays(0x1b);
        expect(before.equals(driver.queueBytes()), 'something is written to the queue or its buffers at rest');
        expectAllWaiting(driver, 'a buffer is used at rest');
        expect(driver.usedInterrupts === interrupts, 'an interrupt is raised at rest');
        await driver.resume();
        // What came at rest may be kept or lost.
        bench.arrive();
        await driver.until('a buffer with what has come', () => driver.outstanding < ROOM);
      },
    },
  ]),
  {
    name: 'an emergency write at rest, which may be taken or not, leaves a console at rest',
    requirements: ['console.device.init.1', 'suspend.device.2'],
    type: 'console',
    run: async (driver) => {
      await driver.start({ accept: [ConsoleFeature.EMERG_WRITE] });
      await driver.suspend();
      await driver.transport.writeConfig(ConsoleConfig.EMERG_WR, 4, 0x21);
      await driver.stays(0x1b);
      await driver.resume();
      await driver.expectStatus(0x0f);
    },
  },
];
