import { Feature, featureSet } from '../../spec/features.ts';
import { type DriverCase, expect, hold, settles, suspending, until, works } from './driver-case.ts';

/** Devices that do what a device may. */
export const lawfulDriverCases: readonly DriverCase[] = [
  {
    name: 'a device that is suspended at once, and runs again at once',
    requirements: ['suspend.driver.1', 'suspend.driver.2', 'suspend.driver.6'],
    run: async (driver) => {
      await driver.initialize();
      await works(driver, 1, 2);
      await driver.suspend();
      await driver.resume();
      await works(driver, 3);
    },
  },
  ...(
    [
      ['shows 0x0f and 0x1f on the way down, 0x1b and 0x1f on the way up', [0x0f, 0x1f, 0x0f], [0x1b, 0x1f, 0x1b]],
      ['shows 0x1f on the way down, 0x1b on the way up', [0x1f, 0x1f], [0x1b, 0x1b]],
    ] as const
  ).map(
    ([name, down, up]): DriverCase => ({
      name: `a device that takes its time: ${name}`,
      requirements: ['suspend.driver.2', 'suspend.driver.6'],
      run: async (driver, { varied }) => {
        await driver.initialize();
        // Read once by the driver to know what it adds to; then on the way.
        varied.onWritten = () => varied.statuses.push(...down);
        await driver.suspend();
        varied.onWritten = () => varied.statuses.push(...up);
        await driver.resume();
        varied.onWritten = () => {};
        await works(driver, 4, 5);
      },
    }),
  ),
  {
    name: 'a device with requests in processing, under load',
    requirements: ['suspend.driver.2', 'suspend.driver.3'],
    run: async (driver, bench) => {
      await driver.initialize();
      const load = await hold(driver, bench, 1, 2, 3);
      await suspending(driver, bench, () => void setTimeout(() => bench.disk.release(), 5));
      await driver.resume();
      await load();
    },
  },
  {
    name: 'many suspends under load',
    requirements: ['suspend.driver.1', 'suspend.driver.2', 'suspend.driver.3', 'suspend.driver.4', 'suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      for (let cycle = 0; cycle < driver.manyCycles; cycle++) {
        const load = await hold(driver, bench, cycle % 64, (cycle + 7) % 64);
        await suspending(driver, bench, () => bench.disk.release());
        await driver.resume();
        await load();
      }
    },
  },
  {
    name: 'a device that notifies for nothing, at any time',
    requirements: ['split.driver.usednotif.5', 'suspend.driver.2', 'suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await works(driver, 5);
      bench.varied.onWritten = () => bench.notifyForNothing();
      await driver.suspend();
      bench.notifyForNothing();
      await driver.resume();
      bench.varied.onWritten = () => {};
      bench.notifyForNothing();
      await works(driver, 6);
    },
  },
  {
    name: 'a device that has taken nothing before the rest, and finds it unchanged after it',
    requirements: ['suspend.driver.3', 'init.driver.cleanup.1', 'packed.driver.desc.1', 'packed.driver.desc.2'],
    run: async (driver, { varied, disk }) => {
      await driver.initialize();
      const before = disk.log.length;
      varied.missesKicks = true;
      const load = await driver.begin(1, 2, 3);
      await until('a kick', () => varied.missedKicks > 0);
      await driver.suspend();
      expect(disk.log.length === before, 'the device has taken what it was not to');
      varied.missesKicks = false;
      await driver.resume();
      await load();
    },
  },
  {
    name: 'a device whose configuration changes at rest',
    requirements: ['suspend.driver.5', 'suspend.driver.6'],
    run: async (driver, { resize }) => {
      await driver.initialize();
      await driver.suspend();
      resize(128);
      await driver.resume();
      await until('the driver knows the new size', async () => (await driver.capacitySectors()) === 128);
    },
  },
  {
    name: 'requests that come while the device is suspended',
    requirements: ['suspend.driver.3', 'suspend.driver.4'],
    run: async (driver) => {
      await driver.initialize();
      await driver.suspend();
      const early = await driver.begin(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      await driver.resume();
      await settles(early);
      await works(driver, 1);
    },
  },
  {
    name: 'a device that offers bits without a meaning',
    requirements: ['features.driver.5', 'features.driver.8'],
    run: async (driver, { varied, device }) => {
      varied.alsoOffered = featureSet(0, 42, 44, 63);
      await driver.initialize();
      expect((device.accepted & varied.alsoOffered) === 0n, 'the driver accepts a bit without a meaning');
      await works(driver, 1);
    },
  },
  {
    name: 'a device without VIRTIO_F_SUSPEND',
    requirements: ['suspend.driver.1'],
    run: async (driver, { varied }) => {
      varied.withheld |= featureSet(Feature.SUSPEND);
      await driver.initialize();
      const error = await driver.suspend().catch((reason: unknown) => reason);
      expect(error instanceof Error, 'the driver suspends a device that cannot');
      await works(driver, 1);
    },
  },
];
