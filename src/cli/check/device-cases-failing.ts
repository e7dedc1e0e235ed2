import { Status } from '../../spec/status.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, works } from './device-case.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** What goes wrong behind a device, or comes late. */
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
      await driver.stays(0x5b);
      expect(driver.configInterrupts + driver.usedInterrupts === interrupts, 'the failure is told at rest');
      await driver.write(0x5f);
      await driver.stays(0x5b);
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
      await driver.stays(status);
      driver.collect();
      expect(driver.outstanding === 1, 'a device that failed uses buffers');
      bench.refuseToWake(undefined);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'SUSPEND means nothing to a device that needs a reset',
    requirements: ['status.device.bits', 'status.device.3'],
    needs: ['failure'],
    run: async (driver, bench) => {
      await driver.start();
      bench.device.fail(new Error('the disk is gone'));
      await driver.until('the failure', (status) => (status & DEVICE_NEEDS_RESET) !== 0);
      await driver.write(0x5f);
      await driver.stays(0x4f);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a reset while resuming is a reset: what comes late changes nothing',
    requirements: ['reset.device.1', 'reset.device.2'],
    needs: ['slow wake'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      driver.offer(16, 17);
      const wake = bench.delayWake();
      await driver.write(0x1f);
      for (let n = 0; n < 10; n++) {
        const pair = (await driver.status()) & (SUSPEND | DRIVER_OK);
        expect(pair !== DRIVER_OK, 'the device runs before its back-end does');
      }
      const { queue } = driver;
      await driver.reset();
      const before = queue.bytes();
      wake();
      await driver.stays(0);
      expect(before.equals(queue.bytes()), 'memory is written to after the reset');
      await driver.start();
      await works(driver);
    },
  },
];
