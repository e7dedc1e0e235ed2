import { Status } from '../../spec/status.ts';
import { awhile, type DeviceCase, expect, works } from './device-case.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** What goes wrong behind a device that rests. */
export const failing: readonly DeviceCase[] = [
  {
    name: 'a device that fails at rest shows DEVICE_NEEDS_RESET, tells nobody, and does not run again',
    requirements: ['suspend.device.3', 'suspend.device.6', 'suspend.device.9'],
    needs: ['failure'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts + driver.usedInterrupts;
      bench.device.fail(new Error('the disk is gone'));
      await driver.until('the failure', (status) => (status & DEVICE_NEEDS_RESET) !== 0);
      await awhile();
      expect(driver.configInterrupts + driver.usedInterrupts === interrupts, 'the failure is told at rest');
      await driver.write(0x5f);
      await awhile();
      expect(((await driver.status()) & DEVICE_NEEDS_RESET) !== 0, 'DEVICE_NEEDS_RESET is gone without a reset');
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a resume that cannot be shows DEVICE_NEEDS_RESET and never a running device, and a reset recovers',
    requirements: ['suspend.device.9', 'suspend.device.4'],
    needs: ['failing wake'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      bench.refuseToWake(new Error('the disk does not come back'));
      driver.offer(15);
      await driver.write(0x1f);
      const status = await driver.until('the failure', (shown) => {
        const failed = (shown & DEVICE_NEEDS_RESET) !== 0;
        expect(failed || (shown & (SUSPEND | DRIVER_OK)) !== DRIVER_OK, 'a failed resume looks like a resume');
        return failed;
      });
      expect((status & SUSPEND) !== 0, 'a failed resume looks like a resume');
      await awhile();
      driver.collect();
      expect(driver.outstanding === 1, 'a device that failed uses buffers');
      bench.refuseToWake(undefined);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a reset while resuming is a reset: what comes late changes nothing',
    requirements: ['reset.device.1', 'reset.device.2'],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      driver.offer(16, 17);
      await driver.write(0x1f);
      await driver.reset();
      await awhile();
      await driver.expectStatus(0);
      await driver.start();
      await works(driver);
    },
  },
];
