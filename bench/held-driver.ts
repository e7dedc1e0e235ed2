import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { BlockDriver } from 'virtio-ts/devices/block';
import type { GuestAllocator, GuestSlice } from 'virtio-ts/memory';
import type { HoldingDisk } from './holding-disk.ts';
import { percentile } from './row.ts';

const ROUNDS = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;

/** A driver whose requests all stay in flight until its disk, in the same thread, is told to end them. */
export class HeldDriver {
  readonly driver: BlockDriver;
  readonly #disk: HoldingDisk;
  readonly #slices: readonly GuestSlice[];

  constructor(driver: BlockDriver, disk: HoldingDisk, allocator: GuestAllocator, inFlight: number) {
    this.driver = driver;
    this.#disk = disk;
    this.#slices = Array.from({ length: inFlight }, () => allocator.allocate(4096));
  }

  /**
   * Has as many requests in flight as it was told, all of them held. What the driver has thrown away so far is collected, so that
   * no such pause falls into what comes next, where it would be taken for the device's.
   */
  async fill(): Promise<{ readonly requests: Promise<unknown> }> {
    const requests = Promise.all(this.#slices.map((slice, n) => this.driver.readInto(n * 8, slice)));
    while (this.#disk.held.length < this.#slices.length) await nextTurn();
    collect({ type: 'minor' });
    return { requests };
  }

  /** Ends what is held; when the last of it ended. */
  drain(): number {
    const last = this.#disk.held.pop();
    for (const request of this.#disk.held.splice(0)) request.complete();
    const at = performance.now();
    last?.complete();
    return at;
  }
}

/**
 * Suspends all of these devices together, while their disks end their requests at different times, again and again: how many
 * times longer it takes until the last device is suspended than until the last disk is drained, 99 of 100 times.
 * `untilSuspended` says when the last one was, by its own sight.
 */
export async function suspendedToDrained(
  all: readonly HeldDriver[],
  untilSuspended: () => Promise<number>,
): Promise<number> {
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const held of all) await held.fill();
    const start = performance.now();
    const suspends = all.map(({ driver }) => driver.suspend());
    const suspended = untilSuspended();
    const drains = all.map(async (held, n) => {
      await new Promise((resolve) => setTimeout(resolve, 20 + ((n * 7 + round) % 31)));
      return held.drain();
    });
    const slowest = Math.max(...(await Promise.all(drains)));
    ratios.push(((await suspended) - start) / (slowest - start));
    await Promise.all(suspends);
    await Promise.all(all.map(({ driver }) => driver.resume()));
  }
  return percentile(ratios, 0.99);
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
