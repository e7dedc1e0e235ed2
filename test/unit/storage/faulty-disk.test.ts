import { expect, it } from 'vitest';
import {
  discardDisk,
  FaultyDisk,
  fixedLatency,
  flushDisk,
  MemoryDisk,
  readDisk,
  seededLatency,
  writeDisk,
} from '../../../src/storage/index.ts';
import { pattern } from './disk-model.ts';

/** The order in which promises settle, as they do. */
function settling(promises: readonly Promise<unknown>[]): string[] {
  const order: string[] = [];
  for (const [i, promise] of promises.entries()) {
    promise.then(
      () => order.push(`${i} done`),
      () => order.push(`${i} failed`),
    );
  }
  return order;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('A faulty disk without a fault does what the disk behind it does', async () => {
  const behind = new MemoryDisk({ capacitySectors: 64, identity: 'behind' });
  const disk = new FaultyDisk(behind);
  await writeDisk(disk, 512, pattern(1024, 1));
  await flushDisk(disk);
  expect(await readDisk(disk, 512, 1024)).toEqual(pattern(1024, 1));
  expect(await readDisk(behind, 512, 1024)).toEqual(pattern(1024, 1));
  expect(disk.log).toEqual([
    { sequence: 0, operation: 'write', position: 512, length: 1024, stage: 'completed' },
    { sequence: 1, operation: 'flush', position: 0, length: 0, stage: 'completed' },
    { sequence: 2, operation: 'read', position: 512, length: 1024, stage: 'completed' },
  ]);
  expect([disk.capacitySectors, disk.identity, disk.readOnly, disk.inFlight]).toEqual([64, 'behind', false, 0]);
  let resizes = 0;
  disk.onResize = () => resizes++;
  behind.resize(128);
  expect([resizes, disk.capacitySectors]).toEqual([1, 128]);
});

it('Held requests do not reach the disk behind, and finish in the order that is asked for', async () => {
  const behind = new MemoryDisk({ capacitySectors: 64 });
  const disk = new FaultyDisk(behind);
  disk.hold();
  const order = settling([0, 1, 2, 3, 4].map((i) => writeDisk(disk, i * 512, pattern(512, i))));
  expect(disk.held).toEqual([0, 1, 2, 3, 4]);
  expect(disk.inFlight).toBe(5);
  expect(behind.allocatedBytes).toBe(0);
  disk.finish([3, 1]);
  await turn();
  disk.finish(1);
  await turn();
  expect(order).toEqual(['3 done', '1 done', '0 done']);
  expect(disk.held).toEqual([2, 4]);
  expect(disk.log.map(({ stage }) => stage)).toEqual(['completed', 'completed', 'held', 'completed', 'held']);
  expect(() => disk.finish([3])).toThrow('Request 3 is not held');
  expect(() => disk.finish(3)).toThrow('3 requests are to be finished, but 2 are held');
  disk.release();
  await turn();
  expect(order.slice(3)).toEqual(['2 done', '4 done']);
  await writeDisk(disk, 0, pattern(512, 1));
});

it('A hanging disk does its work and does not answer before its release', async () => {
  const behind = new MemoryDisk({ capacitySectors: 64 });
  const disk = new FaultyDisk(behind);
  disk.hang();
  const order = settling([writeDisk(disk, 0, pattern(512, 1)), readDisk(disk, 64 * 512, 512)]);
  await turn();
  expect(order).toEqual([]);
  expect(disk.inFlight).toBe(2);
  expect(disk.log.map(({ stage }) => stage)).toEqual(['answered', 'answered']);
  expect(await readDisk(behind, 0, 512)).toEqual(pattern(512, 1));
  disk.release();
  await turn();
  expect(order).toEqual(['0 done', '1 failed']);
  expect(disk.inFlight).toBe(0);
});

it('An operation that shall fail does not reach the disk behind', async () => {
  const behind = new MemoryDisk({ bytes: pattern(4096, 1) });
  const error = new Error('a bad sector');
  const disk = new FaultyDisk(behind, { fault: ({ position }) => (position === 512 ? error : undefined) });
  await expect(discardDisk(disk, 512, 512)).rejects.toBe(error);
  expect(await readDisk(behind, 512, 512)).toEqual(pattern(4096, 1).subarray(512, 1024));
  await discardDisk(disk, 1024, 512);
  disk.fault = undefined;
  await discardDisk(disk, 512, 512);
  expect(disk.log.map(({ stage }) => stage)).toEqual(['failed', 'completed', 'completed']);
});

it('Latency is scheduled before the disk behind sees the operation, the same for the same seed', async () => {
  const draws = Array.from({ length: 3 }, () => Array.from({ length: 50 }, seededLatency(7, 3, 5)));
  expect(draws[1]).toEqual(draws[0]);
  expect(new Set(draws[0])).toEqual(new Set([3, 4, 5]));

  const scheduled: { action: () => void; delayMs: number }[] = [];
  const schedule = (action: () => void, delayMs: number): number => scheduled.push({ action, delayMs });
  const behind = new MemoryDisk({ capacitySectors: 64 });
  const disk = new FaultyDisk(behind, { latency: fixedLatency(20), schedule });
  const order = settling([writeDisk(disk, 0, pattern(512, 1))]);
  await turn();
  expect(order).toEqual([]);
  expect(behind.allocatedBytes).toBe(0);
  expect(scheduled.map(({ delayMs }) => delayMs)).toEqual([20]);
  scheduled[0]!.action();
  await turn();
  expect(order).toEqual(['0 done']);
  expect(() => new FaultyDisk(behind, { latency: fixedLatency(1) })).toThrow(TypeError);
});
