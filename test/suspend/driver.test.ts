import { describe, expect, it } from 'vitest';
import { Device } from '../../src/device/device.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { StateError } from '../../src/spec/fault.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { Available } from '../../src/spec/split-ring.ts';
import { FaultyDisk } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { blockSettings, DISK_CONTENTS } from '../support/block-settings.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { outcome } from '../support/outcome.ts';
import { type BlockRigOptions, connect } from '../support/rig.ts';

const MEMORY_BYTES = 1 << 16;
const SECTOR = 512;

/** What a driver does to its transport, in order: `status 1f`, `kick 0`, `config 32`; and what it has read of the status. */
class Witness {
  readonly log: string[] = [];
  /** Called with each status that the driver has read, before it knows. */
  onStatusRead: (status: number) => void = () => {};
  readonly layouts: QueueLayout[] = [];

  /** The same transport, watched. */
  watch(transport: DriverTransport): DriverTransport {
    const { log, layouts } = this;
    const read = async (): Promise<number> => {
      const status = await transport.readStatus();
      this.onStatusRead(status);
      return status;
    };
    return new Proxy(transport, {
      get: (target, name) => {
        if (name === 'readStatus') return read;
        const member = Reflect.get(target, name, target) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          if (name === 'writeStatus') log.push(`status ${(args[0] as number).toString(16)}`);
          if (name === 'kick') log.push(`kick ${args[0]}`);
          if (name === 'writeConfig') log.push(`config ${args[0]}`);
          if (name === 'enableQueue') layouts.push(args[1] as QueueLayout);
          return (member as (...args: unknown[]) => unknown).apply(target, args);
        };
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    });
  }
}

interface Rig {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly clock: FakeClock;
  readonly disk: FaultyDisk;
  readonly behind: MemoryDisk;
  readonly device: Device;
  readonly driver: BlockDriver;
  readonly witness: Witness;
  /** The descriptors and everything else that the driver shows the device in its rings. */
  shownToDevice(): Uint8Array;
}

async function start({ way, device: offer, driver: decline }: BlockRigOptions): Promise<Rig> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const allocator = new GuestAllocator(memory, 0x1000, MEMORY_BYTES - 0x1000);
  const clock = new FakeClock();
  const behind = new MemoryDisk({ bytes: DISK_CONTENTS });
  const disk = new FaultyDisk(behind);
  const device = new Device(new BlockDevice(disk, { queueSize: 8 }), memory, { ...offer, clock });
  const witness = new Witness();
  const { transport } = await connect(device, way);
  const driver = new BlockDriver(witness.watch(transport), allocator, { ...decline, clock });
  await driver.initialize();
  witness.log.length = 0;
  const shownToDevice = (): Uint8Array => {
    const { bytes } = memory.regions[0]!;
    const [layout] = witness.layouts;
    const { descriptorArea, driverArea, size } = layout!;
    if (hasFeature(device.accepted, Feature.RING_PACKED)) return bytes.slice(descriptorArea, driverArea);
    // used_event, behind the ring, is written while buffers are collected, and shows nothing.
    return bytes.slice(descriptorArea, driverArea + Available.RING + Available.ENTRY_SIZE * size);
  };
  return { memory, allocator, clock, disk, behind, device, driver, witness, shownToDevice };
}

describe.each(blockSettings)('a driver, over %s,', (_, options) => {
  it('shows the device nothing, kicks nothing and writes no configuration from the suspend to the end of the resume, under load', async () => {
    const { clock, disk, driver, witness, shownToDevice } = await start(options);
    disk.hold();
    const before = Array.from({ length: 12 }, (_, n) => outcome(driver.read(n, SECTOR)));
    await settle();
    witness.log.length = 0;
    const refused: unknown[] = [];
    // What an application does meanwhile: it asks again and again, at each step of the driver.
    witness.onStatusRead = () => {
      driver.read(1, SECTOR).catch((error: unknown) => refused.push(error));
      driver.write(2, new Uint8Array(SECTOR)).catch((error: unknown) => refused.push(error));
      driver.setWriteback('writeback').catch((error: unknown) => refused.push(error));
    };
    const suspended = driver.suspend();
    await settle();
    let image = shownToDevice();
    for (let n = 0; n < 4 && disk.held.length > 0; n++) {
      disk.finish(1);
      await clock.advance(30);
    }
    disk.release();
    await clock.advance(100);
    await suspended;
    // In a packed ring the device's used descriptors are in the same place.
    if (hasFeature(driver.driver.features, Feature.RING_PACKED)) image = shownToDevice();
    expect(shownToDevice()).toEqual(image);
    disk.hold();
    let running: Uint8Array | undefined;
    const { onStatusRead } = witness;
    witness.onStatusRead = (status) => {
      onStatusRead(status);
      if (status === 0x0f) running = shownToDevice();
    };
    expect(witness.log).toEqual(['status 1f']);
    const resumed = driver.resume();
    await clock.advance(100);
    await resumed;
    expect(running).toEqual(image);
    expect(witness.log.slice(0, 2)).toEqual(['status 1f', 'status 1f']);
    expect(witness.log.slice(2).filter((line) => line !== 'kick 0')).toEqual([]);
    expect(refused.length).toBeGreaterThan(10);
    for (const error of refused) expect(error).toBeInstanceOf(StateError);
    disk.release();
    await clock.advance(100);
    expect(before.map(({ value }) => value)).toEqual(Array(12).fill('done'));
  });

  it('neither frees nor reuses what the device still has while it is suspended', async () => {
    const { allocator, clock, disk, device, driver, memory } = await start(options);
    disk.hold();
    // More than the queue holds: some wait for room in the driver, none is lost.
    const reads = Array.from({ length: 10 }, (_, n) => driver.read(n, SECTOR));
    await settle();
    const suspended = driver.suspend();
    await settle();
    disk.release();
    await clock.advance(100);
    await suspended;
    const free = allocator.freeBytes;
    const image = memory.regions[0]!.bytes.slice();
    await clock.advance(60_000);
    expect(allocator.freeBytes).toBe(free);
    expect(Buffer.compare(memory.regions[0]!.bytes, image)).toBe(0);
    expect(device.status).toBe(0x1b);
    await driver.resume();
    await clock.advance(100);
    for (const [n, read] of reads.entries()) {
      expect(await read).toEqual(DISK_CONTENTS.subarray(n * SECTOR, (n + 1) * SECTOR));
    }
  });

  it('learns of a change that came while it was suspended, whether by the interrupt or without one', async () => {
    const { behind, clock, driver } = await start(options);
    const told: number[] = [];
    driver.onInfoChange = ({ capacitySectors }) => told.push(capacitySectors);
    await driver.suspend();
    behind.resize(128);
    await clock.advance(100);
    expect(told).toEqual([]);
    await driver.resume();
    // A register at a time, over PCI.
    for (let n = 0; n < 50; n++) await settle();
    expect(told.length).toBeGreaterThan(0);
    expect(told.every((capacity) => capacity === 128)).toBe(true);
    expect(driver.info.capacitySectors).toBe(128);
  });

  it('that is too impatient gives the device up and starts anew', async () => {
    const { clock, disk, device, driver, witness } = await start(options);
    disk.hang();
    const read = outcome(driver.read(0, SECTOR));
    await settle();
    witness.log.length = 0;
    const suspended = outcome(driver.suspend({ limitMs: 500 }));
    await clock.advance(600);
    expect(suspended.value).toMatchObject({ fault: 'limit' });
    expect(read.value).toBe(suspended.value);
    expect(witness.log).toEqual(['status 1f', 'status 9f', 'status 0']);
    expect(device.status).toBe(0);
    disk.release();
    await driver.initialize();
    expect(await driver.read(3, SECTOR)).toEqual(DISK_CONTENTS.subarray(3 * SECTOR, 4 * SECTOR));
  });
});
