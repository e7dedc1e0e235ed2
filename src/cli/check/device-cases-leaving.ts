import { Feature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, hold, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** From the rest to running again, or to a reset. */
export const leaving: readonly DeviceCase[] = [
  {
    name: 'positions go on over a hundred suspends under load, each read done once',
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
    name: 'what was written over a hundred suspends under load is read back',
    requirements: ['suspend.device.9', 'split.device.used.id', 'packed.device.used.id'],
    needs: ['a disk to write to'],
    run: async (driver: HandDriver) => {
      await driver.start();
      for (let cycle = 0; cycle < 100; cycle++) {
        // Two that nobody reads meanwhile, and the two of the cycle before.
        driver.sendWrite((2 * cycle) % 64, cycle);
        driver.sendWrite((2 * cycle + 1) % 64, 0xff - cycle);
        if (cycle > 0) driver.send((2 * cycle - 2) % 64, (2 * cycle - 1) % 64);
        await driver.suspend();
        await driver.resume();
        await driver.finish();
      }
      expect(driver.completed.length === 398, `${driver.completed.length} of 398 requests were done`);
    },
  },
  {
    name: 'a reset at rest forgets everything: features, queues, and what was to be told',
    requirements: ['reset.device.1', 'reset.device.2'],
    needs: ['changes'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(40);
      await driver.reset();
      expect(await driver.transport.queueIsReset(0), 'a queue is still enabled');
      await driver.stays(0);
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.stays(0x0f);
      expect(driver.configInterrupts === interrupts, 'a change of a former life is told');
      await works(driver);
    },
  },
  {
    name: 'a reset while suspending with a stuck disk ends, and what the disk does later touches no buffer',
    requirements: ['reset.device.1', 'reset.device.2'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 13);
      const { queue } = driver;
      await driver.write(0x1f);
      await driver.reset();
      const before = queue.bytes();
      bench.disk.release();
      await driver.stays(0);
      expect(before.equals(queue.bytes()), 'memory is written to after the reset');
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a suspend that cannot end shows DEVICE_NEEDS_RESET and never rest, is told, and only a reset helps',
    requirements: ['suspend.device.8', 'status.device.3'],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 14);
      const interrupts = driver.configInterrupts;
      await driver.write(0x1f);
      const status = await driver.until('the failure', (s) => {
        expect((s & (SUSPEND | DRIVER_OK)) !== SUSPEND, 'a failed suspend looks like a suspend');
        return (s & DEVICE_NEEDS_RESET) !== 0;
      });
      expect(driver.configInterrupts > interrupts, 'the failure is not told');
      await driver.write(0x5f);
      driver.send(15);
      await driver.stays(status);
      bench.disk.release();
      driver.collect();
      expect(driver.outstanding === 2, 'a device that failed uses buffers');
      await driver.start();
      await works(driver);
    },
  },
];
