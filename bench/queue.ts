import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { BufferList, SplitDeviceQueue, SplitDriverQueue } from 'virtio-ts/queue';
import { atMost, measured, type Row } from './row.ts';

const ROUNDS = 9;
const CHAINS_PER_ROUND = 256 * 1024;
const MEMORY_BYTES = 4 * 1024 * 1024;

interface QueueRow {
  readonly name: string;
  readonly depth: number;
  readonly indirect: boolean;
  /** The goal; without it the figure is only reported. */
  readonly limitNs?: number;
}

const ROWS: readonly QueueRow[] = [
  { name: 'take+complete, 3 descriptors, batches of 32', depth: 32, indirect: false, limitNs: 60 },
  { name: 'take+complete, 3 descriptors, depth 1', depth: 1, indirect: false, limitNs: 150 },
  { name: 'take+complete, 3 in an indirect table, batches of 32', depth: 32, indirect: true },
  { name: 'take+complete, 3 in an indirect table, depth 1', depth: 1, indirect: true },
];

/** The device end alone: the driver end's work in between is not counted. Best of the rounds. */
export function queueSuite(): Row[] {
  return ROWS.map(({ name, depth, indirect, limitNs }) => {
    const ns = measure(depth, indirect);
    return limitNs === undefined ? measured('queue', name, 'ns', ns) : atMost('queue', name, 'ns', ns, limitNs);
  });
}

function measure(depth: number, indirect: boolean): number {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const features = { indirect, eventIdx: true };
  const driver = new SplitDriverQueue(allocator, 256, features);
  const device = new SplitDeviceQueue(memory, driver.layout, features);
  const data = allocator.allocate(8192);
  const list = new BufferList()
    .addReadable(data.address, 16)
    .addWritable(data.address + 4096, 4096)
    .addWritable(data.address + 16, 1);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let spentNs = 0;
    for (let done = 0; done < CHAINS_PER_ROUND; done += depth) {
      for (let n = 0; n < depth; n++) driver.offer(list);
      driver.expose();
      const start = process.hrtime.bigint();
      for (let n = 0; n < depth; n++) {
        const chain = device.take();
        if (chain === undefined) throw new Error('the device end lost a buffer');
        device.complete(chain, 4097);
      }
      device.publish();
      device.arm();
      spentNs += Number(process.hrtime.bigint() - start);
      for (let n = 0; n < depth; n++)
        if (driver.collect() === undefined) throw new Error('the driver end lost a buffer');
    }
    best = Math.min(best, (spentNs - clockNs() * (CHAINS_PER_ROUND / depth)) / CHAINS_PER_ROUND);
  }
  return best;
}

/** What reading the clock twice costs, which is most of a short interval; measured once. */
let cachedClockNs: number | undefined;
function clockNs(): number {
  if (cachedClockNs !== undefined) return cachedClockNs;
  const samples: number[] = [];
  for (let round = 0; round < 20; round++) {
    let sum = 0;
    for (let n = 0; n < 10_000; n++) {
      const start = process.hrtime.bigint();
      sum += Number(process.hrtime.bigint() - start);
    }
    samples.push(sum / 10_000);
  }
  cachedClockNs = Math.min(...samples);
  return cachedClockNs;
}
