import type { Clock } from '../../device/clock.ts';
import type { Device } from '../../device/device.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { describeStatus, Status } from '../../spec/status.ts';
import type { FaultyDisk } from '../../storage/faulty-disk.ts';
import { CaseFailed, expect } from './case-failed.ts';
import type { Variation } from './variation.ts';

const { SUSPEND, FAILED } = Status;

export interface TransitionLimit {
  /** How long the driver may wait for the device, if it can be told so. */
  readonly limitMs?: number;
}

/** Waits for requests that were begun. Rejects when one has failed, with CaseFailed when something else than the sector was read. */
export type Load = () => Promise<void>;

/** Why a driver gives its device up. */
export type GivenUp = 'it needs a reset' | 'it was reset' | 'it is gone' | 'it takes too long';

/** What is judged, with the little that a case asks of it. */
export interface DriverUnderTest {
  /** How many cycles are many, for a driver of its speed. */
  readonly manyCycles: number;
  /** What becomes of requests that were out when it has given the device up. */
  readonly lostRequests: 'fail' | 'are done again';
  /** Finds the device, and sets it up. */
  initialize(): Promise<void>;
  /** Brings it to work again where it has given up; not needed of a driver that does so by itself. */
  recover(): Promise<void>;
  /** Reads sectors of the disk, with a request for each. Resolves when the requests are on their way to the device. */
  begin(...sectors: readonly number[]): Promise<Load>;
  /** Rejects when the device does not come to rest. */
  suspend(limit?: TransitionLimit): Promise<void>;
  /** Rejects when the device does not run again, unless the driver has recovered it. */
  resume(limit?: TransitionLimit): Promise<void>;
  /** Why it says that it has given the device up last; `error` is what it has rejected with, if it has. */
  whyGivenUp(error: unknown): Promise<GivenUp | undefined>;
  /** What the driver believes. */
  capacitySectors(): Promise<number>;
}

/** The device that a driver under test has to do with, in the judge's hands. */
export interface DriverBench {
  readonly varied: Variation;
  readonly device: Device;
  readonly memory: GuestMemory;
  /** Whose time passes for the driver. */
  readonly clock: Clock;
  /** What is behind the device: requests are held here. */
  readonly disk: FaultyDisk;
  resize(sectors: number): void;
  /** Notifications for which there is no reason. */
  notifyForNothing(): void;
}

/** A device that a driver has to do with. What the driver breaks the judge says; a case says what did not come about. */
export interface DriverCase {
  readonly name: string;
  /** The requirements of docs/conformance.md that it is about. */
  readonly requirements: readonly string[];
  run(driver: DriverUnderTest, bench: DriverBench): Promise<void>;
}

/** How long anything may take that has to come about. */
const LIMIT_MS = 30_000;

/** Waits until it is so. */
export async function until(
  { clock }: DriverBench,
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = clock.now() + LIMIT_MS;
  while (!(await isSo())) {
    expect(clock.now() < end, `${what}: not within ${LIMIT_MS / 1000} s`);
    await new Promise<void>((resolve) => clock.after(1, resolve));
  }
}

/** Requests go through, as at any time. */
export async function works(driver: DriverUnderTest, ...sectors: readonly number[]): Promise<void> {
  const load = await driver.begin(...sectors);
  await load();
}

/** Requests are done or fail, and none of them has other bytes. */
export async function settles(load: Load): Promise<'done' | 'failed'> {
  try {
    await load();
    return 'done';
  } catch (error) {
    if (error instanceof CaseFailed) throw error;
    return 'failed';
  }
}

/** Requests that are in processing until the disk is released. */
export async function hold(driver: DriverUnderTest, bench: DriverBench, ...sectors: readonly number[]): Promise<Load> {
  const { disk } = bench;
  disk.hold();
  const load = await driver.begin(...sectors);
  await until(bench, 'the requests that the device is to get', () => disk.held.length >= sectors.length);
  return load;
}

/** Begins a suspend; when the driver has asked for it, `act` is done before anything else happens. */
export function suspending(driver: DriverUnderTest, { varied }: DriverBench, act: () => void): Promise<void> {
  varied.onWritten = (value) => {
    if ((value & SUSPEND) === 0) return;
    varied.onWritten = () => {};
    act();
  };
  return driver.suspend();
}

/** Does something when the driver has read the status so often. */
export function afterReads({ varied }: DriverBench, reads: number, act: () => void): void {
  let left = reads;
  varied.onRead = () => {
    if (--left > 0) return;
    varied.onRead = () => {};
    act();
  };
}

/** What a driver has written to the status during `attempt`. */
export async function writesOf({ varied }: DriverBench, attempt: () => Promise<unknown>): Promise<readonly number[]> {
  const before = varied.writes.length;
  await attempt();
  return varied.writes.slice(before);
}

/**
 * The driver asks no second time, gives the device up for the right reason, resets it, and says so or has it at work again; it is as
 * new afterwards.
 */
export async function givesUp(
  driver: DriverUnderTest,
  bench: DriverBench,
  attempt: () => Promise<unknown>,
  why: GivenUp,
): Promise<void> {
  const { varied, disk } = bench;
  let error: unknown;
  const writes = await writesOf(bench, () =>
    attempt().catch((reason: unknown) => {
      error = reason;
    }),
  );
  const said = await driver.whyGivenUp(error);
  expect(said === why, said === undefined ? 'the driver takes it for done' : `the driver gives up as ${said}`);
  expectGivenUp(writes, why);
  disk.release();
  varied.end();
  await driver.recover();
  await works(driver, 1, 2);
}

/** A device that does nothing is told FAILED; one that is gone hears nothing, and every other one is reset. */
function expectGivenUp(writes: readonly number[], why: GivenUp): void {
  const reset = writes.indexOf(0);
  const before = reset < 0 ? writes : writes.slice(0, reset);
  const shown = writes.map(describeStatus).join(', then ');
  const requests = before.filter((value) => (value & FAILED) === 0);
  expect(requests.length <= 1, `the driver asks more than once: ${shown}`);
  const isTold = before.some((value) => (value & FAILED) !== 0);
  expect(isTold || why !== 'it takes too long', `the driver does not set FAILED: ${shown}`);
  expect(reset >= 0 || why === 'it is gone', `the driver does not reset the device: ${shown}`);
}

/** The descriptors of all queues, as the driver has left them. */
export function descriptorsOf({ device, memory }: DriverBench): Buffer {
  const areas = device.queues.filter(({ enabled }) => enabled);
  return Buffer.concat(
    areas.map(({ descriptorArea, size }) => {
      const region = memory.find(descriptorArea, 16 * size)!;
      return region.bytes.subarray(descriptorArea - region.address, descriptorArea - region.address + 16 * size);
    }),
  );
}
