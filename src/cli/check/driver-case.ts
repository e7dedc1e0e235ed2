import type { Device } from '../../device/device.ts';
import { Status } from '../../spec/status.ts';
import type { FaultyDisk } from '../../storage/faulty-disk.ts';
import { CaseFailed } from './hand-driver.ts';
import type { Variation } from './variation.ts';

export interface TransitionLimit {
  /** How long the driver may wait for the device, if it can be told so. */
  readonly limitMs?: number;
}

/** Waits for requests that were begun. Rejects when one has failed, with CaseFailed when something else than the sector was read. */
export type Load = () => Promise<void>;

/** What is judged, with the little that a case asks of it. */
export interface DriverUnderTest {
  /** How many cycles are many, for a driver of its speed. */
  readonly manyCycles: number;
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
  /** What the driver believes. */
  capacitySectors(): Promise<number>;
}

/** The device that a driver under test has to do with, in the judge's hands. */
export interface DriverBench {
  readonly varied: Variation;
  readonly device: Device;
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

export function expect(holds: unknown, otherwise: string): void {
  if (!holds) throw new CaseFailed(otherwise);
}

/** Waits until it is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!(await isSo())) {
    expect(performance.now() < end, `${what}: not within ${LIMIT_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Requests go through, as at any time. */
export async function works(driver: DriverUnderTest, ...sectors: readonly number[]): Promise<void> {
  const load = await driver.begin(...sectors);
  await load();
}

/** Requests are done or fail, and none of them has other bytes. */
export async function settles(load: Load): Promise<void> {
  await load().catch((error: unknown) => {
    if (error instanceof CaseFailed) throw error;
  });
}

/** Requests that are in processing until the disk is released. */
export async function hold(
  driver: DriverUnderTest,
  { disk }: DriverBench,
  ...sectors: readonly number[]
): Promise<Load> {
  disk.hold();
  const load = await driver.begin(...sectors);
  await until('the requests that the device is to get', () => disk.held.length >= sectors.length);
  return load;
}

/** Begins a suspend; when the driver has asked for it, `act` is done before anything else happens. */
export function suspending(driver: DriverUnderTest, { varied }: DriverBench, act: () => void): Promise<void> {
  varied.onWritten = (value) => {
    if ((value & Status.SUSPEND) === 0) return;
    varied.onWritten = () => {};
    act();
  };
  return driver.suspend();
}

/** The driver says that it did not work, or has reset the device by itself, and is as new afterwards. */
export async function givesUp(
  driver: DriverUnderTest,
  { varied, disk }: DriverBench,
  attempt: () => Promise<unknown>,
  what: string,
): Promise<void> {
  const { resets } = varied;
  const error = await attempt().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error instanceof Error || varied.resets > resets, `the driver takes ${what} for done`);
  disk.release();
  varied.end();
  await driver.recover();
  await works(driver, 1, 2);
}
