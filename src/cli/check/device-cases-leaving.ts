import { Feature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { type DeviceCase, expect, hold, works } from './device-case.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** From the rest to running again, or to a reset. */
export const leaving: readonly DeviceCase[] = [
  {
    name: 'positions go on over a hundred suspends under load, each request done once',
    requirements: ['suspend.device.9', 'split.device.used.id', 'packed.device.used.id'],
    run: async (driver) => {
      await driver.start();
      for (let cycle = 0; cycle < 100; cycle++) {
        driver.send(cycle % 64, (cycle + 1) % 64);
        if (cycle % 3 !== 0) await driver.finish();
        await driver.suspend();
        await driver.resume();
        await driver.finish();
      }
      expect(driver.completed.length === 200, `${driver.completed.length} of 200 requests were done`);
    },
  },
  {
    name: 'a reset at rest forgets everything',
    requirements: ['reset.device.1', 'reset.device.2'],
    needs: ['resize'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(40);
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      expect(driver.configInterrupts === interrupts, 'a change of a former life is told');
      await works(driver);
    },
  },
  {
    name: 'a reset while suspending with a stuck disk ends',
    requirements: ['reset.device.1', 'reset.device.2'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 13);
      await driver.write(0x1f);
      await driver.reset();
      bench.disk.release();
      await driver.expectStatus(0);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a suspend that cannot end shows DEVICE_NEEDS_RESET, and never rest',
    requirements: ['suspend.device.8', 'status.device.3'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 14);
      const interrupts = driver.configInterrupts;
      await driver.write(0x1f);
      const status = await driver.until('the failure', (s) => (s & DEVICE_NEEDS_RESET) !== 0);
      expect((status & (SUSPEND | DRIVER_OK)) !== SUSPEND, 'a failed suspend looks like a suspend');
      expect(driver.configInterrupts > interrupts, 'the failure is not told');
      await driver.write(0x5f);
      expect(((await driver.status()) & DEVICE_NEEDS_RESET) !== 0, 'DEVICE_NEEDS_RESET is gone without a reset');
      await driver.reset();
      bench.disk.release();
      await driver.start();
      await works(driver);
    },
  },
];
