import { Feature, featureSet } from '../../spec/features.ts';
import { expect } from './case-failed.ts';
import {
  afterReads,
  type DriverCase,
  type DriverUnderTest,
  descriptorsOf,
  hold,
  settles,
  suspending,
  until,
  works,
  writesOf,
} from './driver-case.ts';

/** The one value that is written to suspend, and to resume. */
const REQUEST = '31';

/** A driver has had many turns in which it could do what it must not, as far as asking it something gives it one. */
async function turns(driver: DriverUnderTest): Promise<void> {
  for (let turn = 0; turn < 10; turn++) {
    await driver.capacitySectors();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Devices that do what a device may. */
export const lawfulDriverCases: readonly DriverCase[] = [
  {
    name: 'a device that is suspended at once, and runs again at once, each when it is told once',
    requirements: ['suspend.driver.1', 'suspend.driver.2', 'suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await works(driver, 1, 2);
      const down = await writesOf(bench, () => driver.suspend());
      expect(down.join() === REQUEST, `the status is written otherwise than once with 0x1f to suspend: ${down}`);
      const up = await writesOf(bench, () => driver.resume());
      expect(up.join() === REQUEST, `the status is written otherwise than once with 0x1f to resume: ${up}`);
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
    name: 'a device that ends its requests when the driver has looked at it three times',
    requirements: ['suspend.driver.2', 'suspend.driver.3'],
    run: async (driver, bench) => {
      await driver.initialize();
      const load = await hold(driver, bench, 1, 2, 3);
      await suspending(driver, bench, () => afterReads(bench, 3, () => bench.disk.release()));
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
    run: async (driver, bench) => {
      const { varied, disk } = bench;
      await driver.initialize();
      const before = disk.log.length;
      varied.missesKicks = true;
      const load = await driver.begin(1, 2, 3);
      await until(bench, 'a kick', () => varied.missedKicks > 0);
      await driver.suspend();
      expect(disk.log.length === before, 'the device has taken what it was not to');
      const left = descriptorsOf(bench);
      await turns(driver);
      expect(left.equals(descriptorsOf(bench)), 'descriptors that the device still has are changed at rest');
      varied.missesKicks = false;
      await driver.resume();
      await load();
    },
  },
  {
    name: 'a device whose configuration changes at rest',
    requirements: ['suspend.driver.5', 'suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.resize(128);
      await driver.resume();
      await until(bench, 'the driver knows the new size', async () => (await driver.capacitySectors()) === 128);
    },
  },
  {
    name: 'a device that uses a buffer and whose configuration changes while it is being suspended',
    requirements: ['suspend.driver.2', 'suspend.driver.5', 'suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      const load = await hold(driver, bench, 1, 2);
      const told = (): void => {
        expect(bench.device.status === 0x1f, 'the device is not being suspended');
        bench.disk.finish(1);
        bench.resize(96);
        afterReads(bench, 3, () => bench.disk.release());
      };
      await suspending(driver, bench, told);
      await driver.resume();
      await load();
      await until(bench, 'the driver knows the new size', async () => (await driver.capacitySectors()) === 96);
      await works(driver, 3);
    },
  },
  {
    name: 'requests that come while the device is suspended',
    requirements: ['suspend.driver.3', 'suspend.driver.4'],
    run: async (driver) => {
      await driver.initialize();
      await driver.suspend();
      const early = await driver.begin(1);
      await turns(driver);
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
    run: async (driver, bench) => {
      const { varied } = bench;
      varied.withheld |= featureSet(Feature.SUSPEND);
      await driver.initialize();
      let isRefused = false;
      const writes = await writesOf(bench, () =>
        driver.suspend().catch(() => {
          isRefused = true;
        }),
      );
      expect(isRefused, 'the driver suspends a device that cannot');
      expect(writes.length === 0, `the status is written: ${writes}`);
      await works(driver, 1);
    },
  },
];
