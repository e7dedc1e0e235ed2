import { expect, it } from 'vitest';
import { BlockConfig, BlockFeature, BlockRequestType, BlockStatus } from '../../../../src/devices/block/layout.ts';
import { featureSet } from '../../../../src/spec/features.ts';
import { RawBlock, ranges } from '../../../support/raw-block.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';

const { IN, OUT, FLUSH, DISCARD, WRITE_ZEROES } = BlockRequestType;

/** A device whose driver did not accept `declined`. */
function make(
  declined: readonly number[] = [],
  change: Partial<RecordingDisk> = {},
): { disk: RecordingDisk; block: RawBlock } {
  const disk = Object.assign(new RecordingDisk(), change);
  return { disk, block: new RawBlock(disk, { accept: (offered) => offered & ~featureSet(...declined) }) };
}

const write = { type: OUT, out: pattern(512) };
const { FLUSH: F, CONFIG_WCE } = BlockFeature;

function setWriteback({ device }: RawBlock, value: number): void {
  device.writeConfig(BlockConfig.WRITEBACK, 1, value);
}

// §5.2.5.2, §5.2.6.2
it('the cache of a disk is written back when the driver can flush it', () => {
  for (const declined of [[], [CONFIG_WCE]]) {
    const { disk, block } = make(declined);
    expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
    block.send(write);
    block.send({ type: FLUSH });
    expect(disk.log).toEqual(['write 0+1', 'flush']);
  }
});

it('the cache of a disk is written through for a driver that cannot flush', () => {
  for (const declined of [[F], [F, CONFIG_WCE]]) {
    const { disk, block } = make(declined);
    expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(0);
    expect(block.send(write).status).toBe(BlockStatus.OK);
    expect(disk.log).toEqual(['write 0+1', 'flush']);
  }
});

it('the cache of a disk is written through when the driver says so, from then on', () => {
  const { disk, block } = make();
  setWriteback(block, 0);
  expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(0);
  block.send(write);
  block.send({ type: IN, room: 512 });
  block.send({ type: DISCARD, out: ranges({ sector: 1, sectors: 1 }, { sector: 3, sectors: 1 }) });
  block.send({ type: WRITE_ZEROES, out: ranges({ sector: 2, sectors: 1 }) });
  block.send({ type: FLUSH });
  expect(disk.log).toEqual([
    ...['write 0+1', 'flush', 'read 0+1'],
    ...['discard 1+1', 'discard 3+1', 'flush', 'writeZeroes 2+1', 'flush', 'flush'],
  ]);
  setWriteback(block, 1);
  disk.log.length = 0;
  block.send(write);
  expect(disk.log).toEqual(['write 0+1']);
});

it('the cache of a disk is not switched by a driver that did not accept CONFIG_WCE, nor by writes beside the field', () => {
  const declined = make([CONFIG_WCE]);
  setWriteback(declined.block, 0);
  expect(declined.block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
  const { block } = make();
  for (const [offset, width] of [
    [BlockConfig.CAPACITY, 4],
    [BlockConfig.WRITEBACK - 1, 1],
    [BlockConfig.WRITEBACK + 1, 1],
    [BlockConfig.OPT_IO_SIZE, 4],
  ] as const) {
    block.device.writeConfig(offset, width, 0);
    expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
    expect(block.device.readConfig(BlockConfig.CAPACITY, 4)).toBe(64);
  }
  block.device.writeConfig(BlockConfig.WRITEBACK, 4, 0);
  expect(block.device.readConfig(BlockConfig.WRITEBACK, 1), 'a wider write covers it').toBe(0);
});

it('the cache of a disk is as at the start after a reset', () => {
  const { disk, block } = make();
  setWriteback(block, 0);
  block.device.writeStatus(0);
  block.start();
  expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(1);
  block.send(write);
  expect(disk.log).toEqual(['write 0+1']);
});

it('the cache of a disk that cannot be written through fails the write', () => {
  const { disk, block } = make([F, CONFIG_WCE], { failing: 'flush' });
  expect(block.send(write)).toMatchObject({ status: BlockStatus.IOERR, written: 1 });
  expect(disk.log).toEqual(['write 0+1', 'flush']);
});

it('the cache of a disk of a disk that has none is never flushed, and the driver is not told of any', () => {
  const { disk, block } = make([], { supports: { flush: false, discard: false, writeZeroes: false } });
  expect(block.device.offered & featureSet(F, CONFIG_WCE)).toBe(0n);
  expect(block.device.readConfig(BlockConfig.WRITEBACK, 1)).toBe(0);
  expect(block.send(write).status).toBe(BlockStatus.OK);
  expect(block.send({ type: FLUSH }).status).toBe(BlockStatus.UNSUPP);
  expect(disk.log).toEqual(['write 0+1']);
});

it('the cache of a disk is switched for requests that end after it, not only for those that begin after it', () => {
  const { disk, block } = make();
  disk.later = true;
  const pending = block.submit(write);
  setWriteback(block, 0);
  disk.finish(disk.waiting.shift()!);
  expect(pending.answer(), 'a flush is on its way').toBeUndefined();
  disk.finish(disk.waiting.shift()!);
  expect(pending.answer()?.status).toBe(BlockStatus.OK);
  expect(disk.log).toEqual(['write 0+1', 'flush']);
});
