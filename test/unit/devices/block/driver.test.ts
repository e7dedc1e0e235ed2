import { describe, expect, it } from 'vitest';
import type { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { BlockError } from '../../../../src/devices/block/driver-request.ts';
import { BlockFeature } from '../../../../src/devices/block/layout.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { FaultyDisk } from '../../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { makeBlockRig, pattern, startBlockRig, ways } from '../../../support/rig.ts';

describe('a block driver', () => {
  for (const way of ways) {
    it(`carries data both ways, and knows its disk, over ${way}`, async () => {
      const disk = new MemoryDisk({ capacitySectors: 2048, identity: 'carried' });
      const { driver } = await startBlockRig({ way, disk, block: { queues: 3 } });
      expect(driver.info).toMatchObject({ capacitySectors: 2048, readOnly: false, blockSize: 512, queues: 3 });
      const data = pattern(64 * 1024);
      await driver.write(3, data);
      expect(await driver.read(3, data.length)).toEqual(data);
      expect((await driver.read(4, 512))[0]).toBe(data[512]);
      await driver.flush();
      await driver.writeZeroes(4, 1);
      expect(await driver.read(3, 1536)).toEqual(Uint8Array.from(data.subarray(0, 1536)).fill(0, 512, 1024));
      await driver.discard(3, 3);
      expect(await driver.identify()).toBe('carried');
    });

    it(`has more requests out than the queue takes, over ${way}`, async () => {
      const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 2048 }));
      const { driver } = await startBlockRig({ way, disk, driver: { queueSize: 4 } });
      disk.hold();
      const writes = Array.from({ length: 40 }, (_, n) => driver.write(n, pattern(512, n)));
      // Their turns come as there is room; the disk takes the newest first.
      for (let turn = 0; disk.held.length > 0 || turn < 3; turn++) {
        disk.finish([...disk.held].reverse());
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(writes);
      disk.release();
      const read = await Promise.all(Array.from({ length: 40 }, (_, n) => driver.read(n, 512)));
      for (const [n, bytes] of read.entries()) expect(bytes).toEqual(pattern(512, n));
    });
  }
});

describe('a block driver refuses', () => {
  it('what is not whole sectors within the capacity, before it asks the device', async () => {
    const disk = new RecordingDisk();
    const { driver } = await startBlockRig({ disk });
    const wrong: ((driver: BlockDriver) => Promise<unknown>)[] = [
      (to) => to.read(0, 511),
      (to) => to.read(0, 0),
      (to) => to.read(-1, 512),
      (to) => to.read(0.5, 512),
      (to) => to.read(Number.NaN, 512),
      (to) => to.read(64, 512),
      (to) => to.read(63, 1024),
      (to) => to.write(64, pattern(512)),
      (to) => to.write(0, pattern(100)),
      (to) => to.discard(60, 5),
      (to) => to.discard(0, 0),
      (to) => to.writeZeroes(0, -1),
    ];
    for (const request of wrong) await expect(request(driver)).rejects.toThrow(RangeError);
    expect(disk.log).toEqual([]);
  });

  it('to write to a read-only disk, and what the device does not offer', async () => {
    const disk = Object.assign(new RecordingDisk(), { readOnly: true });
    const { driver } = await startBlockRig({ disk });
    expect(driver.info.readOnly).toBe(true);
    for (const request of [driver.write(0, pattern(512)), driver.discard(0, 1), driver.writeZeroes(0, 1)]) {
      await expect(request).rejects.toThrow(/the disk is read-only/);
    }
    const declined = await startBlockRig({
      driver: { decline: [BlockFeature.DISCARD, BlockFeature.CONFIG_WCE, BlockFeature.FLUSH] },
    });
    await expect(declined.driver.discard(0, 1)).rejects.toThrow(StateError);
    await expect(declined.driver.setWriteback('writethrough')).rejects.toThrow(StateError);
    await expect(declined.driver.flush(), 'every write is stable').resolves.toBeUndefined();
  });

  it('anything before it is initialised', async () => {
    const { driver } = await makeBlockRig();
    expect(() => driver.info).toThrow(/call initialize/);
    for (const request of [driver.read(0, 512), driver.flush(), driver.identify(), driver.discard(0, 1)]) {
      await expect(request).rejects.toThrow(/call initialize/);
    }
  });
});

describe('a block driver divides a request', () => {
  it('into segments of the size that the device takes', async () => {
    const { driver, disk } = await startBlockRig({ block: { sizeMax: 1000 } });
    expect(driver.info).toMatchObject({ sizeMax: 1000, segMax: 254 });
    await driver.write(1, pattern(5120));
    expect(await driver.read(1, 5120)).toEqual(pattern(5120));
    expect(disk.capacitySectors).toBe(2048);
  });

  it('into no more segments than the device takes', async () => {
    const { driver } = await startBlockRig({ block: { sizeMax: 512, queueSize: 8 } });
    expect(driver.info.segMax).toBe(6);
    await expect(driver.read(0, 6 * 512)).resolves.toHaveLength(6 * 512);
    await expect(driver.read(0, 7 * 512)).rejects.toThrow(/7 segments; the device takes 6 of 512 bytes/);
    // The refused request took nothing with it.
    for (let n = 0; n < 300; n++) await driver.read(0, 7 * 512).catch(() => {});
    await expect(driver.read(0, 512)).resolves.toHaveLength(512);
  });
});

it('a block driver gives errors of the disk on, each to its own request', async () => {
  const disk = new RecordingDisk();
  disk.failing = 'write';
  const { driver } = await startBlockRig({ disk });
  const [write, read] = await Promise.allSettled([driver.write(1, pattern(512)), driver.read(0, 512)]);
  expect(write).toMatchObject({ status: 'rejected', reason: { name: BlockError.name, status: 'IOERR' } });
  expect(read.status).toBe('fulfilled');
  disk.failing = 'flush';
  await expect(driver.flush()).rejects.toMatchObject({ status: 'IOERR' });
});

it('a block driver learns of a new capacity, and goes by it', async () => {
  const disk = new MemoryDisk({ capacitySectors: 100 });
  const { driver } = await startBlockRig({ way: 'pci io', disk });
  await expect(driver.read(100, 512)).rejects.toThrow(RangeError);
  const told = new Promise<number>((resolve) => {
    driver.onInfoChange = ({ capacitySectors }) => resolve(capacitySectors);
  });
  disk.resize(200);
  expect(await told).toBe(200);
  expect(driver.info.capacitySectors).toBe(200);
  await driver.read(199, 512);
});

it('a block driver goes by a new capacity, too, when nobody asked to be told of it', async () => {
  const disk = new MemoryDisk({ capacitySectors: 100 });
  const { driver } = await startBlockRig({ disk });
  disk.resize(200);
  await new Promise((resolve) => setImmediate(resolve));
  expect(driver.info.capacitySectors).toBe(200);
  await driver.read(199, 512);
});

it('a block driver switches the cache of its device', async () => {
  const disk = new RecordingDisk();
  for (const way of ways) {
    const { driver } = await startBlockRig({ way, disk });
    disk.log.length = 0;
    await driver.setWriteback('writethrough');
    await driver.write(0, pattern(512));
    await driver.setWriteback('writeback');
    await driver.write(0, pattern(512));
    expect(disk.log).toEqual(['write 0+1', 'flush', 'write 0+1']);
  }
});

it('a block driver takes no memory that it does not give back', async () => {
  const { driver, allocator } = await startBlockRig();
  const round = async (): Promise<void> => {
    await driver.write(0, pattern(4096));
    await driver.read(0, 4096);
    await driver.identify();
    await driver.writeZeroes(0, 8);
    await driver.flush();
  };
  await round();
  const free = allocator.freeBytes;
  for (let n = 0; n < 50; n++) await round();
  expect(allocator.freeBytes).toBe(free);
  await driver.initialize();
  await round();
  expect(allocator.freeBytes).toBe(free);
});
