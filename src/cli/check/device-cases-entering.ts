import { Status } from '../../spec/status.ts';
import { awhile, type DeviceCase, expect, hold, works } from './device-case.ts';

const { DRIVER_OK, SUSPEND } = Status;

/** From the request to suspend to the rest. */
export const entering: readonly DeviceCase[] = [
  {
    name: 'a device without a queue is suspended',
    requirements: ['suspend.device.8', 'suspend.device.9'],
    run: async (driver) => {
      await driver.start({ withoutQueue: 'without a queue' });
      await driver.suspend();
      await driver.resume();
    },
  },
  {
    name: 'an idle device is suspended, and keeps its other bits',
    requirements: ['suspend.device.8', 'suspend.device.9', 'status.device.bits'],
    run: async (driver) => {
      await driver.start();
      await works(driver);
      await driver.suspend();
      await driver.expectStatus(0x1b);
      await driver.resume();
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'a request without DRIVER_OK suspends, too; one without SUSPEND resumes',
    requirements: ['suspend.device.8', 'suspend.device.9'],
    run: async (driver) => {
      await driver.start();
      await driver.suspend(0x1b);
      await driver.resume(0x0f);
      await works(driver);
    },
  },
  {
    name: 'what is in processing is used and notified before the device rests',
    requirements: ['suspend.device.11', 'suspend.device.12'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 3, 4, 5);
      await driver.write(0x1f);
      for (let n = 0; n < 20; n++) {
        const status = await driver.status();
        expect((status & (SUSPEND | DRIVER_OK)) !== SUSPEND, 'the device rests with requests in processing');
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const before = driver.usedInterrupts;
      bench.disk.finish([2, 0]);
      bench.disk.release();
      await driver.untilPair('the suspend', SUSPEND);
      expect(driver.usedInterrupts > before, 'the requests are not notified');
      driver.collect();
      expect(driver.outstanding === 0, `${driver.outstanding} requests were not used`);
      await driver.resume();
      await works(driver);
    },
  },
  {
    name: 'requests that wait in the ring are done after the resume, without another kick',
    requirements: ['suspend.device.4', 'suspend.device.scan'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 6);
      await driver.write(0x1f);
      driver.offer(7, 8);
      bench.disk.release();
      await driver.untilPair('the suspend', SUSPEND);
      await driver.resume();
      await driver.finish();
      expect(driver.completed.length === 3, `${driver.completed.length} of 3 requests were done`);
    },
  },
  ...[0x1f, 0x0f, 0x0b, 0x03].map(
    (value): DeviceCase => ({
      name: `a write of 0x${value.toString(16).padStart(2, '0')} while suspending changes nothing`,
      requirements: ['suspend.device.8', 'status.device.bits'],
      needs: ['held requests'],
      run: async (driver, bench) => {
        await driver.start();
        hold(driver, bench, 9);
        await driver.write(0x1f);
        await driver.write(value);
        bench.disk.release();
        await driver.untilPair('the suspend', SUSPEND);
        await awhile();
        await driver.expectStatus(0x1b);
        await driver.resume();
        await works(driver);
      },
    }),
  ),
  {
    name: 'FAILED while suspending: a reset recovers',
    requirements: ['reset.device.1'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 10);
      await driver.write(0x1f);
      await driver.write(0x9f);
      bench.disk.release();
      await driver.start();
      await works(driver);
    },
  },
];
