import { Status } from '../../spec/status.ts';
import { awhile, type DeviceCase, expect, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

const { DRIVER_OK } = Status;

async function readCapacity(driver: HandDriver): Promise<number> {
  return driver.transport.readConfig(0, 4);
}

/** While the device rests. */
export const atRest: readonly DeviceCase[] = [
  {
    name: 'kicks and new buffers at rest are left alone until the resume',
    requirements: ['suspend.device.3', 'suspend.device.4'],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      driver.send(11, 12);
      await awhile();
      driver.collect();
      expect(driver.outstanding === 2, 'requests are done at rest');
      await driver.resume();
      await driver.finish();
    },
  },
  {
    name: 'a resize at rest is neither shown nor told before the resume, and told once then',
    requirements: ['suspend.device.5', 'suspend.device.6', 'suspend.device.7'],
    needs: ['resize'],
    run: async (driver, bench) => {
      await driver.start();
      const before = await readCapacity(driver);
      await driver.suspend();
      const generation = await driver.transport.readConfigGeneration();
      const interrupts = driver.configInterrupts;
      bench.resize(before + 8);
      bench.resize(before + 16);
      expect((await readCapacity(driver)) === before, 'the new size shows at rest');
      expect((await driver.transport.readConfigGeneration()) === generation, 'the generation changes at rest');
      expect(driver.configInterrupts === interrupts, 'the change is told at rest');
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
      expect((await readCapacity(driver)) === before + 16, 'the new size does not show');
      expect((await driver.transport.readConfigGeneration()) !== generation, 'the generation is that of before');
    },
  },
  {
    name: 'a change is not forgotten when the device is suspended again at once',
    requirements: ['suspend.device.7'],
    needs: ['resize'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(32);
      await driver.resume();
      await driver.suspend();
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
    },
  },
  {
    name: 'configuration writes at rest have no effect',
    requirements: ['suspend.device.2'],
    run: async (driver) => {
      await driver.start();
      await driver.transport.readConfig(32, 1);
      await driver.suspend();
      const before = await driver.transport.readConfig(32, 1);
      await driver.transport.writeConfig(32, 1, before ^ 1);
      expect((await driver.transport.readConfig(32, 1)) === before, 'the field has changed');
      await driver.resume();
      expect((await driver.transport.readConfig(32, 1)) === before, 'the field has changed after the resume');
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
        for (let n = 0; n < 5; n++) await driver.expectStatus(0x1b);
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
      expect(((await driver.status()) & DRIVER_OK) === 0, 'the device runs');
      await driver.start();
      await works(driver);
    },
  },
];
