import { describe, expect, it } from 'vitest';
import { BlockConfig } from '../../src/devices/block/layout.ts';
import { Feature } from '../../src/spec/features.ts';
import { describeStatus } from '../../src/spec/status.ts';
import {
  blockSettings,
  DISK_CONTENTS,
  DISK_SECTORS,
  type SlowDiskRig,
  startSlowDisk,
  turn,
} from '../support/block-settings.ts';
import { outcome } from '../support/outcome.ts';
import { pattern } from '../support/rig.ts';

const shown = (status: number): string => `status ${describeStatus(status)}`;
const SECTOR = 512;

function sectors(first: number, count = 1): Uint8Array {
  return DISK_CONTENTS.subarray(first * SECTOR, (first + count) * SECTOR);
}

/** Suspends a device that has nothing in processing, and forgets the events of it. */
async function suspend({ driver, device, clock, events }: SlowDiskRig): Promise<void> {
  const suspended = driver.suspend();
  await clock.advance(50);
  expect(device.status).toBe(0x1b);
  await suspended;
  events.length = 0;
}

describe.each(blockSettings)('a block device and its driver, over %s:', (_, options) => {
  it('requests of several queues that the disk ends out of order all come back before the suspend is done', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, disk, clock, events } = rig;
    const order: string[] = [];
    disk.hold();
    const reads = [0, 1, 2, 3, 4, 5].map((sector) => driver.read(sector, SECTOR));
    for (const [sector, read] of reads.entries()) void read.then(() => order.push(`read ${sector}`));
    await turn();
    expect(disk.held).toHaveLength(6);
    const sectorOf = disk.log.map(({ position }) => position / SECTOR);

    const suspended = driver.suspend().then(() => order.push('suspended'));
    await turn();
    for (const sequence of [4, 1, 5, 0, 2]) {
      disk.finish([sequence]);
      await clock.advance(50);
      expect(device.status).toBe(0x1f);
    }
    disk.finish([3]);
    await clock.advance(50);
    await suspended;
    const finished = [...[4, 1, 5, 0, 2, 3].map((sequence) => `read ${sectorOf[sequence]}`), 'suspended'];
    const inOrder = options.device?.offer?.includes(Feature.IN_ORDER) === true;
    if (!inOrder) expect(order).toEqual(finished);
    expect([...order].sort()).toEqual([...finished].sort());
    expect(order.at(-1)).toBe('suspended');
    for (const [sector, read] of reads.entries()) expect(await read).toEqual(sectors(sector));
    const used = events.filter((event) => event.startsWith('used'));
    if (!inOrder) expect(used).toHaveLength(6);
    expect(events).toEqual([shown(0x1f), ...used, shown(0x1b)]);
  });

  it('the interrupt of the last request is raised before the device shows that it is suspended', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, disk, clock, pci, mmio, transport } = rig;
    disk.hold();
    const read = driver.read(7, SECTOR);
    await turn();
    // The interrupt finds a driver that is busy elsewhere: what is pending stays in the register.
    const registers = options.way === 'pci msix' ? undefined : (pci ?? mmio);
    if (registers !== undefined) registers.onInterruptLine = () => {};
    const { onUsedBuffer } = transport;
    let calls = 0;
    transport.onUsedBuffer = () => {
      calls++;
    };
    const raised: unknown[] = [];
    device.observer = { statusShown: (status) => raised.push([status, registers?.interruptLine ?? calls > 0]) };
    const suspended = driver.suspend();
    await clock.advance(50);
    disk.finish(1);
    await clock.advance(50);
    await suspended;
    expect(raised).toEqual([
      [0x1f, false],
      [0x1b, true],
    ]);
    transport.onUsedBuffer = onUsedBuffer;
    expect(await read, 'the driver looks at its used rings when the device is at rest').toEqual(sectors(7));
  });

  it('requests of many descriptors, and those that wait for room, are done once: before the suspend or after the resume', async () => {
    const rig = await startSlowDisk({ ...options, block: { queues: 1, sizeMax: SECTOR } });
    const { driver, device, disk, clock } = rig;
    disk.hold();
    const blocks = Array.from({ length: 16 }, (_, n) => pattern(4 * SECTOR, 100 + n));
    const writes = blocks.map((bytes, n) => driver.write(4 * n, bytes));
    const outcomes = writes.map(outcome);
    const more = Array.from({ length: 8 }, () => driver.flush());
    await turn();
    const before = disk.held.length;
    expect(before).toBeGreaterThan(1);
    expect(before).toBeLessThan(24);

    const suspended = driver.suspend();
    disk.finish([...disk.held].reverse());
    await clock.advance(50);
    await suspended;
    expect(device.status).toBe(0x1b);
    expect(disk.log).toHaveLength(before);
    expect(outcomes.filter(({ value }) => value === 'done')).toHaveLength(Math.min(before, 16));

    const resumed = driver.resume();
    disk.release();
    await clock.advance(50);
    await Promise.all([resumed, ...writes, ...more]);
    expect(disk.log).toHaveLength(24);
    expect(new Set(disk.log.map(({ position, operation }) => `${operation} ${position}`)).size).toBe(17);
    for (const [n, bytes] of blocks.entries()) expect(await driver.read(4 * n, 4 * SECTOR)).toEqual(bytes);
  });

  it('a disk that grows and shrinks while suspended is told once, after the device runs', async () => {
    const rig = await startSlowDisk(options);
    const { driver, transport, behind, events, pci, mmio } = rig;
    const capacity = async (): Promise<number> => transport.readConfig(BlockConfig.CAPACITY, 4);
    await suspend(rig);
    const before = await capacity();
    const generation = await transport.readConfigGeneration();
    behind.resize(2 * DISK_SECTORS);
    behind.resize(DISK_SECTORS + 8);
    expect(await capacity()).toEqual(before);
    expect(await transport.readConfigGeneration()).toBe(generation);
    expect((pci ?? mmio)?.interruptLine ?? false).toBe(false);
    expect(events).toEqual([]);

    await driver.resume();
    await turn();
    expect(events).toEqual([shown(0x0f), 'config']);
    expect(await transport.readConfigGeneration()).not.toBe(generation);
    expect(driver.info.capacitySectors).toBe(DISK_SECTORS + 8);
  });

  it('a write of the cache mode while suspended is ignored, then and after the resume', async () => {
    const rig = await startSlowDisk(options);
    const { driver, transport, disk } = rig;
    await suspend(rig);
    await transport.writeConfig(BlockConfig.WRITEBACK, 1, 0);
    expect(await transport.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
    await driver.resume();
    expect(await transport.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
    await driver.write(1, pattern(SECTOR, 9));
    expect(disk.log.map(({ operation }) => operation)).toEqual(['write']);
  });

  it('a reset while a stuck disk delays the suspend is done at once; what ends late touches no memory', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, disk, clock, memory, events } = rig;
    disk.hold();
    const requests = [driver.read(0, SECTOR), driver.write(1, pattern(SECTOR, 5)), driver.read(2, SECTOR)].map(outcome);
    await turn();
    const suspending = outcome(driver.suspend());
    await clock.advance(50);
    await driver.driver.reset();
    expect(device.status).toBe(0);
    // The driver's wait for the suspend notices at its next look.
    await clock.advance(50);
    for (const { value } of [...requests, suspending]) expect(value).toBeInstanceOf(Error);
    events.length = 0;
    const image = memory.regions[0]!.bytes.slice();
    disk.finish(2);
    expect(Buffer.compare(image, memory.regions[0]!.bytes)).toBe(0);

    // One of the old requests is still with the disk: the next life starts, and is served when it is back.
    await driver.initialize();
    const read = outcome(driver.read(3, SECTOR));
    await turn();
    expect(read.value).toBe('pending');
    disk.release();
    await turn();
    expect(read.value).toBe('done');
    expect(await driver.read(3, SECTOR)).toEqual(sectors(3));
    await clock.advance(60_000);
    expect(device.status, 'the suspend of the former life is forgotten').toBe(0x0f);
    expect(events.filter((event) => event === 'config')).toEqual([]);
  });

  it('a reset while suspended drops everything, a change that was held included', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, behind, transport, events } = rig;
    await suspend(rig);
    behind.resize(2 * DISK_SECTORS);
    await driver.driver.reset();
    expect(device.status).toBe(0);
    expect(device.accepted).toBe(0n);
    expect(device.queues.map(({ enabled }) => enabled)).toEqual([false, false, false]);
    expect(device.queues.map(({ descriptorArea }) => descriptorArea)).toEqual([0, 0, 0]);
    await driver.initialize();
    expect(events).not.toContain('config');
    expect(driver.info.capacitySectors).toBe(2 * DISK_SECTORS);
    expect(await driver.read(4, SECTOR)).toEqual(sectors(4));
    expect(await transport.readStatus()).toBe(0x0f);
  });

  it('a disk that does not answer fails the suspend: told by an interrupt, never shown as suspended, mended by a reset', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, disk, clock, memory, events } = rig;
    disk.hold();
    const read = outcome(driver.read(0, SECTOR));
    await turn();
    const suspending = outcome(driver.suspend());
    await clock.advance(999);
    expect([device.status, read.value, suspending.value]).toEqual([0x1f, 'pending', 'pending']);
    await clock.advance(50);
    expect(suspending.value).toBeInstanceOf(Error);
    expect(read.value).toBeInstanceOf(Error);
    const reason = /suspend: what is being processed did not end within 1000 ms/;
    expect(events.slice(0, 4)).toEqual([shown(0x1f), shown(0x4f), expect.stringMatching(reason), 'config']);
    expect(events).not.toContain(shown(0x1b));
    expect(events.at(-1), 'the driver gave the device up and reset it').toBe(shown(0));

    const image = memory.regions[0]!.bytes.slice();
    disk.release();
    expect(Buffer.compare(image, memory.regions[0]!.bytes)).toBe(0);
    await driver.initialize();
    expect(await driver.read(0, SECTOR)).toEqual(sectors(0));
    await suspend(rig);
  });

  it('a disk that is lost while suspended is shown in silence, and the resume says so', async () => {
    const rig = await startSlowDisk(options);
    const { driver, device, clock, events, pci, mmio, transport } = rig;
    await suspend(rig);
    device.fail(new Error('the disk is gone'));
    expect(await transport.readStatus()).toBe(0x5b);
    expect(events).toEqual([shown(0x5b), 'failed the disk is gone']);
    expect((pci ?? mmio)?.interruptLine ?? false).toBe(false);
    const resuming = outcome(driver.resume());
    await clock.advance(50);
    expect(resuming.value).toMatchObject({ message: expect.stringContaining('needs a reset') });
    expect(events).not.toContain(shown(0x0f));
    await driver.initialize();
    expect(await driver.read(5, SECTOR)).toEqual(sectors(5));
  });
});
