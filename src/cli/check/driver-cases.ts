import type { DeviceOptions } from '../../device/device-options.ts';
import { BlockDriver } from '../../devices/block/driver.ts';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import { Feature, featureSet } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { byteOf, makeVariedBench } from './bench.ts';
import { CaseFailed } from './hand-driver.ts';

const { SUSPEND, DRIVER_OK, FAILED } = Status;

type VariedBench = ReturnType<typeof makeVariedBench>;

/** A device that a driver has to do with. What the driver breaks the judge says; a case says what did not come about. */
export interface DriverCase {
  readonly name: string;
  /** The requirements of docs/conformance.md that it is about. */
  readonly requirements: readonly string[];
  readonly device?: DeviceOptions;
  run(driver: BlockDriver, bench: VariedBench): Promise<void>;
}

/** A driver of ours and its device, for one case. */
export function prepareDriverCase(
  { device, run }: DriverCase,
  offer: readonly number[],
): {
  readonly trace: readonly string[];
  run(): Promise<void>;
} {
  const bench = makeVariedBench({ ...device, offer });
  const driver = new BlockDriver(bench.transport, bench.allocator, { queueSize: 16, resetLimitMs: 100 });
  return { trace: bench.trace, run: () => run(driver, bench) };
}

/** How long a driver may wait for a device that does nothing. */
const GIVE_UP = { limitMs: 50 };

function expect(holds: unknown, otherwise: string): void {
  if (!holds) throw new CaseFailed(otherwise);
}

async function reads(driver: BlockDriver, ...sectors: readonly number[]): Promise<void> {
  const found = await Promise.all(sectors.map((sector) => driver.read(sector, SECTOR_BYTES)));
  for (const [n, bytes] of found.entries()) {
    expect(
      bytes.every((byte) => byte === byteOf(sectors[n]!)),
      `sector ${sectors[n]} has other bytes`,
    );
  }
}

/** The driver says that it did not work, and is as new after an initialisation. */
async function gaveUp(driver: BlockDriver, bench: VariedBench, attempt: Promise<unknown>, what: string): Promise<void> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error instanceof Error, `the driver takes ${what} for done`);
  bench.disk.release();
  bench.varied.status = undefined;
  bench.varied.isDeaf = () => false;
  await driver.initialize();
  await reads(driver, 1, 2);
}

const isSuspend = (value: number): boolean => (value & SUSPEND) !== 0 && (value & FAILED) === 0;

const lawful: readonly DriverCase[] = [
  {
    name: 'a device that is suspended at once, and runs again at once',
    requirements: ['suspend.driver.1', 'suspend.driver.2', 'suspend.driver.6'],
    run: async (driver) => {
      await driver.initialize();
      await reads(driver, 1, 2);
      await driver.suspend();
      await driver.resume();
      await reads(driver, 3);
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
        const suspended = driver.suspend();
        await suspended;
        varied.onWritten = () => varied.statuses.push(...up);
        await driver.resume();
        varied.onWritten = () => {};
        await reads(driver, 4, 5);
      },
    }),
  ),
  {
    name: 'a device with requests in processing, under load',
    requirements: ['suspend.driver.2', 'suspend.driver.3'],
    run: async (driver, { disk }) => {
      await driver.initialize();
      disk.hold();
      const load = reads(driver, 1, 2, 3);
      await Promise.resolve();
      const suspended = driver.suspend();
      await new Promise((resolve) => setTimeout(resolve, 5));
      disk.release();
      await suspended;
      await driver.resume();
      await load;
    },
  },
  {
    name: 'a hundred suspends under load',
    requirements: ['suspend.driver.1', 'suspend.driver.2', 'suspend.driver.3', 'suspend.driver.4', 'suspend.driver.6'],
    run: async (driver) => {
      await driver.initialize();
      for (let cycle = 0; cycle < 100; cycle++) {
        const load = reads(driver, cycle % 64, (cycle + 7) % 64);
        await driver.suspend();
        await driver.resume();
        await load;
      }
    },
  },
  {
    name: 'a device that notifies for nothing, at any time',
    requirements: ['split.driver.usednotif.5', 'suspend.driver.2', 'suspend.driver.6'],
    run: async (driver, { varied }) => {
      await driver.initialize();
      await reads(driver, 5);
      varied.onWritten = () => varied.notifyForNothing();
      await driver.suspend();
      varied.notifyForNothing();
      await driver.resume();
      varied.notifyForNothing();
      await reads(driver, 6);
    },
  },
  {
    name: 'a device that has taken nothing before the rest, and finds it unchanged after it',
    requirements: ['suspend.driver.3', 'init.driver.cleanup.1', 'packed.driver.desc.1', 'packed.driver.desc.2'],
    run: async (driver, { varied, disk }) => {
      await driver.initialize();
      varied.missesKicks = true;
      const load = reads(driver, 1, 2, 3);
      await Promise.resolve();
      await driver.suspend();
      expect(disk.log.length === 0, 'the device has taken what it was not to');
      varied.missesKicks = false;
      await driver.resume();
      await load;
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
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(driver.info.capacitySectors === 128, 'the driver does not know the new size');
    },
  },
  {
    name: 'requests that come while the device is suspended',
    requirements: ['suspend.driver.3', 'suspend.driver.4'],
    run: async (driver) => {
      await driver.initialize();
      await driver.suspend();
      const early = driver.read(1, SECTOR_BYTES).then(
        () => {},
        () => {},
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
      await driver.resume();
      await early;
      await reads(driver, 1);
    },
  },
  {
    name: 'a device that offers bits without a meaning',
    requirements: ['features.driver.5', 'features.driver.8'],
    run: async (driver, { varied, device }) => {
      varied.alsoOffered = featureSet(0, 42, 44, 63);
      await driver.initialize();
      expect((device.accepted & varied.alsoOffered) === 0n, 'the driver accepts a bit without a meaning');
      await reads(driver, 1);
    },
  },
  {
    name: 'a device without VIRTIO_F_SUSPEND',
    requirements: ['suspend.driver.1'],
    device: { withhold: [Feature.SUSPEND] },
    run: async (driver) => {
      await driver.initialize();
      const error = await driver.suspend().catch((reason: unknown) => reason);
      expect(error instanceof Error, 'the driver suspends a device that cannot');
      await reads(driver, 1);
    },
  },
];

const failing: readonly DriverCase[] = [
  {
    name: 'a suspend that fails: DEVICE_NEEDS_RESET',
    requirements: ['suspend.driver.2'],
    device: { suspendLimitMs: 20 },
    run: async (driver, bench) => {
      await driver.initialize();
      bench.disk.hold();
      const lost = driver.read(1, SECTOR_BYTES);
      const isLost = lost.then(
        () => false,
        () => true,
      );
      await Promise.resolve();
      await gaveUp(driver, bench, driver.suspend(), 'a suspend that failed');
      expect(await isLost, 'a request that was lost counts as done');
    },
  },
  {
    name: 'a device that fails at rest: the resume finds DEVICE_NEEDS_RESET',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.device.fail(new Error('the disk is gone'));
      await gaveUp(driver, bench, driver.resume(), 'a resume that failed');
    },
  },
  {
    name: 'a suspend that never ends',
    requirements: ['suspend.driver.2', 'suspend.driver.seen'],
    run: async (driver, bench) => {
      await driver.initialize();
      bench.varied.isDeaf = isSuspend;
      await gaveUp(driver, bench, driver.suspend(GIVE_UP), 'a suspend that never ends');
    },
  },
  {
    name: 'a resume that never ends',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.varied.isDeaf = (value) => (value & DRIVER_OK) !== 0 && isSuspend(value);
      await gaveUp(driver, bench, driver.resume(GIVE_UP), 'a resume that never ends');
    },
  },
  {
    name: 'a device that was reset behind its driver, and has lost everything',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.device.reset();
      await gaveUp(driver, bench, driver.resume(), 'a resume of a device that was reset');
    },
  },
  {
    name: 'a device that is reset while it is being suspended',
    requirements: ['suspend.driver.2'],
    run: async (driver, bench) => {
      await driver.initialize();
      bench.varied.onWritten = () => {
        bench.varied.onWritten = () => {};
        bench.device.reset();
      };
      await gaveUp(driver, bench, driver.suspend(), 'a suspend of a device that was reset');
    },
  },
  {
    name: 'a device that is gone',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.varied.status = 0xff;
      await gaveUp(driver, bench, driver.resume(), 'a resume of a device that is gone');
    },
  },
];

/** What a driver has to do with, in order. */
export const driverCases: readonly DriverCase[] = [...lawful, ...failing];
