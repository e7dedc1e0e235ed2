import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice, type BlockDeviceOptions } from '../../../../src/devices/block/device.ts';
import { BlockConfig, BlockFeature, BlockRequestType, BlockStatus } from '../../../../src/devices/block/layout.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { featureBits, featureSet } from '../../../../src/spec/features.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { RawBlock } from '../../../support/raw-block.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';

function deviceOf(change: Partial<RecordingDisk> = {}, options: BlockDeviceOptions = {}): Device {
  const disk = Object.assign(new RecordingDisk(), change);
  return new Device(new BlockDevice(disk, options), GuestMemory.over(new Uint8Array(0x1000)));
}

/** The type's own bits among those that are offered. */
function ownFeatures(device: Device): number[] {
  return featureBits(device.offered & 0xff_ffffn);
}

const { SIZE_MAX, SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, MQ, DISCARD, WRITE_ZEROES } = BlockFeature;

describe('a block device offers', () => {
  it('what its disk can do', () => {
    const always = [SEG_MAX, BLK_SIZE, TOPOLOGY];
    expect(ownFeatures(deviceOf())).toEqual(
      [...always, FLUSH, CONFIG_WCE, DISCARD, WRITE_ZEROES].sort((a, b) => a - b),
    );
    const plain = { supports: { flush: false, discard: false, writeZeroes: false } };
    expect(ownFeatures(deviceOf(plain))).toEqual(always);
    expect(ownFeatures(deviceOf({ readOnly: true }))).toEqual([SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE]);
    expect(ownFeatures(deviceOf(plain, { queues: 2, sizeMax: 4096 }))).toEqual([SIZE_MAX, ...always, MQ]);
  });

  it('queues as it is told to', () => {
    const device = deviceOf({}, { queues: 3, queueSize: 16 });
    expect(device.queues.map(({ size }) => size)).toEqual([16, 16, 16]);
    for (const queues of [0, 65, 1.5, Number.NaN]) expect(() => deviceOf({}, { queues })).toThrow(RangeError);
    for (const queueSize of [0, 3, 65536, Number.NaN]) expect(() => deviceOf({}, { queueSize })).toThrow(RangeError);
  });
});

describe('the configuration space of a block device (§5.2.4)', () => {
  it('describes its disk', () => {
    const topology = {
      blockSize: 4096,
      physicalBlockExponent: 3,
      alignmentOffset: 1,
      minimumBlocks: 0x1234,
      optimalBlocks: 0x1234_5678,
    };
    const device = deviceOf({ capacitySectors: 2 ** 40 + 5, topology }, { queues: 5, queueSize: 128, sizeMax: 65536 });
    const read = (offset: number, width: number): number => device.readConfig(offset, width);
    expect(read(BlockConfig.CAPACITY, 4) + read(BlockConfig.CAPACITY + 4, 4) * 2 ** 32).toBe(2 ** 40 + 5);
    expect(read(BlockConfig.SIZE_MAX, 4)).toBe(65536);
    expect(read(BlockConfig.SEG_MAX, 4), 'with header and status they fill the queue').toBe(126);
    expect(read(BlockConfig.BLK_SIZE, 4)).toBe(4096);
    expect(read(BlockConfig.PHYSICAL_BLOCK_EXP, 1)).toBe(3);
    expect(read(BlockConfig.ALIGNMENT_OFFSET, 1)).toBe(1);
    expect(read(BlockConfig.MIN_IO_SIZE, 2)).toBe(0x1234);
    expect(read(BlockConfig.OPT_IO_SIZE, 4)).toBe(0x1234_5678);
    expect(read(BlockConfig.NUM_QUEUES, 2)).toBe(5);
    expect(read(BlockConfig.MAX_DISCARD_SECTORS, 4)).toBeGreaterThan(0);
    expect(read(BlockConfig.MAX_DISCARD_SEG, 4)).toBe(16);
    expect(read(BlockConfig.DISCARD_SECTOR_ALIGNMENT, 4)).toBe(8);
    expect(read(BlockConfig.MAX_WRITE_ZEROES_SECTORS, 4)).toBeGreaterThan(0);
    expect(read(BlockConfig.MAX_WRITE_ZEROES_SEG, 4)).toBe(16);
    expect(read(BlockConfig.WRITE_ZEROES_MAY_UNMAP, 1)).toBe(1);
    expect(read(33, 1), 'padding').toBe(0);
    expect([57, 58, 59].map((at) => read(at, 1))).toEqual([0, 0, 0]);
  });

  it('says nothing of what the disk cannot do', () => {
    const device = deviceOf({ supports: { flush: false, discard: false, writeZeroes: false } });
    const rest = Array.from({ length: BlockConfig.BYTES - BlockConfig.MAX_DISCARD_SECTORS }, (_, n) =>
      device.readConfig(BlockConfig.MAX_DISCARD_SECTORS + n, 1),
    );
    expect(rest.every((byte) => byte === 0)).toBe(true);
    expect(device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(0);
    expect(device.readConfig(BlockConfig.BYTES, 4), 'beyond the end').toBe(0);
  });
});

describe('a disk that changes its size (§5.2.6.2)', () => {
  it('is shown and told of once it has the new one', () => {
    const disk = new MemoryDisk({ capacitySectors: 100 });
    const block = new RawBlock(disk);
    const { device, events } = block;
    const read = { type: BlockRequestType.IN, sector: 100, room: 512 };
    expect(block.send(read).status).toBe(BlockStatus.IOERR);
    expect(device.readConfig(BlockConfig.CAPACITY, 4)).toBe(100);
    const generation = device.configGeneration;
    disk.resize(101);
    expect(events.at(-1)).toBe('config');
    expect(device.readConfig(BlockConfig.CAPACITY, 4)).toBe(101);
    expect(device.configGeneration).not.toBe(generation);
    expect(block.send(read).status).toBe(BlockStatus.OK);
    disk.resize(50);
    expect(events.filter((event) => event === 'config')).toHaveLength(2);
    expect(block.send({ ...read, sector: 50 }).status).toBe(BlockStatus.IOERR);
    expect(block.send({ ...read, sector: 49 }).status).toBe(BlockStatus.OK);
  });

  it('is shown, but not told of, before there is a driver', () => {
    const disk = new MemoryDisk({ capacitySectors: 100 });
    const block = new RawBlock(disk);
    block.device.writeStatus(0);
    block.events.length = 0;
    disk.resize(200);
    expect(block.events).toEqual([]);
    expect(block.device.readConfig(BlockConfig.CAPACITY, 4)).toBe(200);
  });
});

it('the state of a block device is its cache mode, and nothing else is taken for one', () => {
  const type = new BlockDevice(new RecordingDisk());
  type.attach({ complete() {}, take: () => undefined, giveBack() {}, configChanged() {}, fail() {} });
  type.restore({ writeback: false }, featureSet(FLUSH, CONFIG_WCE));
  expect(type.save()).toEqual({ writeback: false });
  expect(type.config()[BlockConfig.WRITEBACK]).toBe(0);
  for (const state of [undefined, null, {}, { writeback: 1 }, 'writeback', { writeback: 'false' }]) {
    expect(() => type.restore(state, 0n)).toThrow(StateError);
  }
  expect(type.save()).toEqual({ writeback: false });
});
