import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Device } from 'virtio-ts/device';
import { BlockDevice, type Disk, type DiskRequest, defaultTopology } from 'virtio-ts/devices/block';
import { DirectTransport } from 'virtio-ts/hosts/loopback';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { BufferList, SplitDriverQueue } from 'virtio-ts/queue';
import { Feature, featureSet, Status } from 'virtio-ts/spec';
import { atMost, type Row } from './row.ts';

const MEMORY_BYTES = 4 * 1024 * 1024;
const BATCH = 32;
const BATCHES = 4000;
/** One object of the smallest kind has 16 bytes: below one tenth of a byte nothing is allocated for each request. */
const LIMIT_BYTES = 0.1;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Answers at once and touches no data: what is left is the queue and the block device. */
class NullDisk implements Disk {
  readonly capacitySectors = 64 * 1024;
  readonly readOnly = false;
  readonly identity = 'null';
  readonly topology = defaultTopology;
  readonly supports = { flush: true, discard: false, writeZeroes: false };
  onResize: (() => void) | undefined;

  submit(request: DiskRequest): void {
    request.complete();
  }

  async close(): Promise<void> {}
}

/** Heap bytes per request from kick to used entry. The driver end here is the queue alone, which allocates nothing either. */
export function allocationSuite(): Row[] {
  return [atMost('allocation', 'queue and block device, 4k reads', 'bytes/request', measure(), LIMIT_BYTES)];
}

function measure(): number {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const transport = new DirectTransport(new Device(new BlockDevice(new NullDisk()), memory));
  const queue = new SplitDriverQueue(allocator, 256, { indirect: false, eventIdx: true });
  transport.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER);
  transport.writeFeatures(featureSet(Feature.VERSION_1, Feature.EVENT_IDX));
  transport.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
  transport.enableQueue(0, queue.layout);
  transport.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK);
  const data = allocator.allocate(8192);
  const list = new BufferList()
    .addReadable(data.address, 16)
    .addWritable(data.address + 4096, 4096)
    .addWritable(data.address + 16, 1);
  const run = (): void => {
    for (let batch = 0; batch < BATCHES; batch++) {
      for (let n = 0; n < BATCH; n++) queue.offer(list);
      if (queue.expose()) transport.kick(0);
      for (let n = 0; n < BATCH; n++) if (queue.collect() === undefined) throw new Error('a request was lost');
      queue.arm();
    }
  };
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 8; round++) {
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    run();
    least = Math.min(least, (process.memoryUsage().heapUsed - before) / (BATCH * BATCHES));
  }
  return Math.max(0, least);
}
