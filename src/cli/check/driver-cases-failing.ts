import { Status } from '../../spec/status.ts';
import { expect } from './case-failed.ts';
import { type DriverCase, givesUp, hold, settles, suspending } from './driver-case.ts';

const { SUSPEND, DRIVER_OK, FAILED } = Status;

/** How long a driver may wait for a device that does nothing. */
const GIVE_UP = { limitMs: 50 };

const isSuspend = (value: number): boolean => (value & SUSPEND) !== 0 && (value & FAILED) === 0;

/** Devices that fail, or worse. */
export const failingDriverCases: readonly DriverCase[] = [
  {
    name: 'a suspend that fails: DEVICE_NEEDS_RESET; requests that are out are lost, and their callers are told, or are done again',
    requirements: ['suspend.driver.2'],
    run: async (driver, bench) => {
      await driver.initialize();
      const lost = await hold(driver, bench, 1);
      const fail = (): void => bench.device.fail(new Error('a request does not end'));
      await givesUp(driver, bench, () => suspending(driver, bench, fail), 'it needs a reset');
      const fate = await settles(lost);
      expect(fate === (driver.lostRequests === 'fail' ? 'failed' : 'done'), `a request that was lost is ${fate}`);
    },
  },
  {
    name: 'a device that fails at rest: the resume finds DEVICE_NEEDS_RESET',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.device.fail(new Error('the disk is gone'));
      await givesUp(driver, bench, () => driver.resume(), 'it needs a reset');
    },
  },
  {
    name: 'a resume that fails: DEVICE_NEEDS_RESET',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.varied.isDeaf = (value) => (value & DRIVER_OK) !== 0 && isSuspend(value);
      bench.varied.onWritten = (value) =>
        isSuspend(value) && bench.device.fail(new Error('the disk does not come back'));
      await givesUp(driver, bench, () => driver.resume(), 'it needs a reset');
    },
  },
  {
    name: 'a suspend that never ends',
    requirements: ['suspend.driver.2', 'suspend.driver.seen'],
    run: async (driver, bench) => {
      await driver.initialize();
      bench.varied.isDeaf = isSuspend;
      await givesUp(driver, bench, () => driver.suspend(GIVE_UP), 'it takes too long');
    },
  },
  {
    name: 'a resume that never ends',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.varied.isDeaf = (value) => (value & DRIVER_OK) !== 0 && isSuspend(value);
      await givesUp(driver, bench, () => driver.resume(GIVE_UP), 'it takes too long');
    },
  },
  {
    name: 'a device that was reset behind its driver, and has lost everything',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.device.reset();
      await givesUp(driver, bench, () => driver.resume(), 'it was reset');
    },
  },
  {
    name: 'a device that is reset while it is being suspended',
    requirements: ['suspend.driver.2'],
    run: async (driver, bench) => {
      await driver.initialize();
      const reset = (): void => bench.device.reset();
      await givesUp(driver, bench, () => suspending(driver, bench, reset), 'it was reset');
    },
  },
  {
    name: 'a device that is gone',
    requirements: ['suspend.driver.6'],
    run: async (driver, bench) => {
      await driver.initialize();
      await driver.suspend();
      bench.varied.status = 0xff;
      await givesUp(driver, bench, () => driver.resume(), 'it is gone');
    },
  },
];
