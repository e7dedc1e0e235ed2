import { describe, expect, it } from 'vitest';
import { BlockRequestType, BlockStatus } from '../../../../src/devices/block/layout.ts';
import { FaultyDisk } from '../../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { RawBlock } from '../../../support/raw-block.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';

const { IN, OUT, FLUSH } = BlockRequestType;

function make(queues = 1): { disk: FaultyDisk; behind: MemoryDisk; block: RawBlock; errors: string[] } {
  const errors: string[] = [];
  const behind = new MemoryDisk({ bytes: pattern(64 * 512) });
  const disk = new FaultyDisk(behind);
  const block = new RawBlock(disk, {
    block: { queues, onDiskError: (operation, error) => errors.push(`${operation}: ${error.message}`) },
  });
  return { disk, behind, block, errors };
}

describe('requests that a disk finishes later', () => {
  it('are used in the order in which they end, each with its own data', () => {
    const { disk, block } = make();
    disk.hold();
    const pending = [0, 1, 2, 3, 4].map((sector) => block.submit({ type: IN, sector, room: 512 }));
    expect(block.device.inFlight).toBe(5);
    const order = [3, 0, 4, 1, 2];
    for (const [done, sequence] of order.entries()) {
      expect(block.queues[0]!.usedIndex).toBe(done);
      disk.finish([sequence]);
    }
    const heads = order.map((_, position) => block.queues[0]!.used(position).id);
    expect(heads).toEqual(order.map((sequence) => sequence * 16));
    const all = pattern(64 * 512);
    for (const [sector, each] of pending.entries()) {
      expect(each.answer()).toEqual({ status: 0, written: 513, data: all.subarray(sector * 512, sector * 512 + 512) });
    }
    expect(block.device.inFlight).toBe(0);
  });

  it('are notified one by one when they end one by one', () => {
    const { disk, block } = make();
    disk.hold();
    block.submit({ type: IN, room: 512 });
    block.submit({ type: FLUSH });
    expect(block.events).not.toContain('used 0');
    disk.finish(1);
    disk.finish(1);
    // With EVENT_IDX and a driver that asked for the first only.
    expect(block.events.filter((event) => event === 'used 0')).toHaveLength(1);
    block.queues[0]!.usedEvent = 2;
    block.submit({ type: FLUSH });
    disk.finish(1);
    expect(block.events.filter((event) => event === 'used 0')).toHaveLength(2);
  });

  it('of several queues do not wait for each other', () => {
    const { disk, block } = make(3);
    disk.hold();
    const pending = [0, 1, 2].map((queue) => block.submit({ type: IN, sector: queue, room: 512, queue }));
    disk.finish([2]);
    expect(pending.map((each) => each.answer()?.status)).toEqual([undefined, undefined, BlockStatus.OK]);
    expect(block.queues.map((queue) => queue.usedIndex)).toEqual([0, 0, 1]);
    disk.release();
    expect(pending.map((each) => each.answer()?.status)).toEqual([0, 0, 0]);
    expect(block.events.filter((event) => event.startsWith('used'))).toEqual(['used 2', 'used 0', 'used 1']);
  });
});

describe('requests', () => {
  it('that the disk fails are answered with IOERR, and told to the owner of the device', () => {
    const { disk, block, errors } = make();
    disk.fault = ({ operation, position }) => (position === 512 ? new Error(`broken ${operation}`) : undefined);
    disk.hold();
    const bad = [
      block.submit({ type: IN, sector: 1, room: 1024 }),
      block.submit({ type: OUT, sector: 1, out: pattern(512) }),
    ];
    const good = block.submit({ type: IN, sector: 2, room: 512 });
    disk.release();
    expect(bad.map((each) => each.answer()?.status)).toEqual([BlockStatus.IOERR, BlockStatus.IOERR]);
    expect(bad[0]!.answer()?.data).toEqual(new Uint8Array(1024));
    expect(good.answer()?.status).toBe(BlockStatus.OK);
    expect(errors).toEqual(['read: broken read', 'write: broken write']);
    expect(block.device.status).toBe(0x0f);
  });

  it('are ended once: a second end is the fault of the disk', () => {
    const disk = Object.assign(new RecordingDisk(), { later: true });
    const block = new RawBlock(disk);
    const pending = block.submit({ type: FLUSH });
    const [request] = disk.waiting;
    request!.complete();
    expect(() => request!.complete()).toThrow(/completed a request twice/);
    expect(() => request!.fail(new Error('late'))).toThrow(/completed a request twice/);
    expect(pending.answer()?.status).toBe(BlockStatus.OK);
    expect(block.queues[0]!.usedIndex).toBe(1);
  });
});

describe('requests in flight at a reset', () => {
  it('have no effect on the driver when they end, and no new buffer is taken before', () => {
    const { disk, block } = make();
    disk.hold();
    block.submit({ type: IN, sector: 0, room: 512 });
    block.submit({ type: IN, sector: 1, room: 512 });
    block.device.writeStatus(0);
    expect([block.device.status, block.device.inFlight]).toEqual([0, 2]);
    block.start();
    const before = block.memory.regions[0]!.bytes.slice();
    const pending = block.submit({ type: IN, sector: 2, room: 512 });
    expect(disk.log).toHaveLength(2);
    disk.finish(1);
    expect(disk.log, 'one of the old ones is still out').toHaveLength(2);
    expect(pending.answer()).toBeUndefined();
    disk.finish(1);
    expect(disk.log, 'the new one is taken without a kick').toHaveLength(3);
    disk.finish(1);
    expect(pending.answer()).toMatchObject({ status: 0, written: 513 });
    expect(block.queues[0]!.usedIndex).toBe(1);
    // Where the old requests had their buffers nothing changed since the reset, but for the first, whose place was used again.
    const after = block.memory.regions[0]!.bytes;
    const second = 0x4000 + 0x8000;
    expect(Buffer.compare(after.subarray(second, second + 0x8000), before.subarray(second, second + 0x8000))).toBe(0);
  });

  it('do not write old data over new: a write that comes to its data after the reset is dropped', () => {
    const disk = Object.assign(new RecordingDisk(), { later: true });
    const errors: string[] = [];
    const block = new RawBlock(disk, { block: { onDiskError: (_, error) => errors.push(error.message) } });
    block.submit({ type: OUT, sector: 1, out: pattern(512, 7) });
    const [request] = disk.waiting.splice(0);
    block.device.writeStatus(0);
    block.start();
    expect(() => request!.copyData(0, new Uint8Array(512), 0, 512)).toThrow(/the device was reset/);
    request!.fail(new Error('dropped'));
    expect(errors).toEqual(['dropped']);
    expect(block.device.inFlight).toBe(0);
    expect(block.queues[0]!.usedIndex).toBe(0);
    disk.later = false;
    expect(block.send({ type: IN, sector: 1, room: 512 }).data).toEqual(new Uint8Array(512));
  });
});

describe('what was in flight at a reset', () => {
  it('is not written through: nothing is asked of the disk for a driver that is gone', () => {
    const disk = Object.assign(new RecordingDisk(), { later: true });
    const block = new RawBlock(disk);
    block.device.writeConfig(32, 1, 0);
    block.submit({ type: OUT, out: pattern(512) });
    block.device.writeStatus(0);
    block.start();
    expect(disk.log).toEqual(['write 0+1']);
    disk.waiting.shift()!.complete();
    while (disk.waiting.length > 0) disk.waiting.shift()!.complete();
    expect(block.device.inFlight).toBe(0);
    disk.later = false;
    expect(block.send({ type: FLUSH }).status).toBe(BlockStatus.OK);
  });

  it('holds up no reset, however often it comes', () => {
    const { disk, block } = make(2);
    disk.hold();
    for (let n = 0; n < 5; n++) {
      block.submit({ type: IN, sector: n, room: 512, queue: n % 2 });
      block.device.writeStatus(0);
      expect(block.device.status).toBe(0);
      block.start();
    }
    expect(disk.log, 'only the first was taken').toHaveLength(1);
    disk.release();
    expect(block.device.inFlight).toBe(0);
    expect(block.send({ type: IN, room: 512 }).status).toBe(BlockStatus.OK);
  });
});
