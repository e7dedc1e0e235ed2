// The device in the worker of worker.test.ts and worker-end.mjs. `options.behaviour` says what is wrong with it.
import process from 'node:process';
import { Device } from 'virtio-ts/device';
import { BlockDevice } from 'virtio-ts/devices/block';
import { FaultyDisk, MemoryDisk } from 'virtio-ts/storage';

const disks = {
  good: (disk) => disk,
  slow: (disk) => new FaultyDisk(disk, { latency: () => 1, schedule: (work) => setTimeout(work, 2) }),
  stuck: (disk) => new FaultyDisk(disk, { latency: () => 1, schedule: () => {} }),
  throwing: (disk) =>
    new FaultyDisk(disk, {
      latency: () => 1,
      schedule: () =>
        setImmediate(() => {
          throw new Error('the disk caught fire');
        }),
    }),
  ending: (disk) => new FaultyDisk(disk, { latency: () => 1, schedule: () => setImmediate(() => process.exit(3)) }),
};

export default async (memory, { behaviour }) => {
  if (behaviour === 'throws at start') throw new Error('there is no such disk');
  if (behaviour === 'throws text') throw 'no disk';
  if (behaviour === 'never ready') await new Promise(() => {});
  const disk = disks[behaviour](new MemoryDisk({ capacitySectors: 64 }));
  return () => new Device(new BlockDevice(disk), memory);
};
