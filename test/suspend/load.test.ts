import { describe, expect, it } from 'vitest';
import {
  blockSettings,
  DISK_CONTENTS,
  DISK_SECTORS,
  type SlowDiskRig,
  startSlowDisk,
} from '../support/block-settings.ts';
import { settle } from '../support/fake-clock.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { runs } from '../support/runs.ts';

const { seed: SEED, numRuns: CYCLES } = runs(20_261_123, 1000);
const SECTOR = 512;
/** Every so many cycles the memory of a device at rest is compared. */
const LOOK = 20;

/** Reads and writes of single sectors, never two of one sector at a time, each with bytes that no other write has. */
class Load {
  readonly #rig: SlowDiskRig;
  readonly #random: (below: number) => number;
  readonly #contents: Uint8Array[] = Array.from({ length: DISK_SECTORS }, (_, sector) =>
    DISK_CONTENTS.slice(sector * SECTOR, (sector + 1) * SECTOR),
  );
  readonly #busy = new Set<number>();
  readonly #wrong: string[] = [];
  made = 0;
  settled = 0;

  constructor(rig: SlowDiskRig, random: (below: number) => number) {
    this.#rig = rig;
    this.#random = random;
  }

  /** Makes up to `most` requests. */
  add(most: number): void {
    for (let left = this.#random(most + 1); left > 0 && this.#busy.size < DISK_SECTORS; left--) {
      let sector = this.#random(DISK_SECTORS);
      while (this.#busy.has(sector)) sector = (sector + 1) % DISK_SECTORS;
      this.#busy.add(sector);
      this.made++;
      const request = this.#random(2) === 0 ? this.#write(sector, this.made) : this.#read(sector);
      void request
        .catch((error: Error) => this.#wrong.push(`sector ${sector}: ${error.message}`))
        .then(() => {
          this.settled++;
          this.#busy.delete(sector);
        });
    }
  }

  /** The disk ends some of what it has, in any order. */
  answer(most: number): void {
    const { disk } = this.#rig;
    for (let left = this.#random(most + 1); left > 0 && disk.held.length > 0; left--) {
      disk.finish([disk.held[this.#random(disk.held.length)]!]);
    }
  }

  /** Everything comes back, once and right, and is what the disk has. */
  async finish(): Promise<void> {
    const { disk, clock, behind, device } = this.#rig;
    disk.release();
    await clock.advance(100);
    expect(this.#wrong).toEqual([]);
    expect(this.settled).toBe(this.made);
    expect(disk.log).toHaveLength(this.made);
    expect(disk.log.filter(({ stage }) => stage !== 'completed')).toEqual([]);
    expect(device.inFlight).toBe(0);
    expect(behind.capacitySectors).toBe(DISK_SECTORS);
    for (let sector = 0; sector < DISK_SECTORS; sector++) await this.#read(sector);
    expect(this.#wrong).toEqual([]);
  }

  async #write(sector: number, tag: number): Promise<void> {
    const bytes = new Uint8Array(Uint32Array.from({ length: SECTOR / 4 }, (_, n) => (tag << 8) | n).buffer);
    await this.#rig.driver.write(sector, bytes);
    this.#contents[sector] = bytes;
  }

  async #read(sector: number): Promise<void> {
    const bytes = await this.#rig.driver.read(sector, SECTOR);
    if (Buffer.compare(bytes, this.#contents[sector]!) !== 0) this.#wrong.push(`sector ${sector} holds other bytes`);
  }
}

/** Nothing happens to a device at rest, whatever it is told. */
async function lookAtRest({ memory, device, disk, clock, transport, events }: SlowDiskRig): Promise<void> {
  const image = memory.regions[0]!.bytes.slice();
  const [requests, told] = [disk.log.length, events.length];
  for (const queue of device.queues.keys()) transport.kick(queue);
  await clock.advance(60_000);
  expect(Buffer.compare(image, memory.regions[0]!.bytes)).toBe(0);
  expect([disk.log.length, events.length, device.status, device.inFlight]).toEqual([requests, told, 0x1b, 0]);
}

describe.each(blockSettings)(`over %s (seed ${SEED})`, (_, options) => {
  it(`of ${CYCLES} suspends and resumes under load each request is done once, and its data is right`, async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, disk, clock } = rig;
    const random = randomNumbers(SEED);
    const load = new Load(rig, random);
    let waited = 0;
    disk.hold();
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      load.add(6);
      // Some are exposed, and answered, before the suspend; some are still hidden in the driver.
      if (random(3) > 0) await settle();
      load.answer(3);
      if (random(2) === 0) load.add(2);
      const suspended = driver.suspend();
      await settle();
      if (device.status === 0x1f) waited++;
      while (device.status === 0x1f) {
        load.answer(4);
        await clock.advance(20);
      }
      await clock.advance(20);
      expect(device.status).toBe(0x1b);
      await suspended;
      if (cycle % LOOK === 0) await lookAtRest(rig);
      await driver.resume();
      expect(device.status).toBe(0x0f);
    }
    expect(waited, 'the load was there').toBeGreaterThan(CYCLES / 2);
    expect(load.made).toBeGreaterThan(2 * CYCLES);
    await load.finish();
  });
});
