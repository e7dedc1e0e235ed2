import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import {
  BufferList,
  type DeviceQueue,
  type DriverQueue,
  PackedDeviceQueue,
  PackedDriverQueue,
  SplitDeviceQueue,
  SplitDriverQueue,
} from 'virtio-ts/queue';
import { atMost, type Row, timeAgainst } from './row.ts';
import { V86Queue } from './v86-queue.ts';

const ROUNDS = 15;
const CHAINS_PER_ROUND = 64 * 1024;
const QUEUE_SIZE = 256;
/** Rings and buffers: above the first megabyte, where a PC's memory has holes. */
const AREA = { start: 4 << 20, bytes: 8 << 20 };
const WRITTEN = 17;
const LEAST_RATIO = 3;
/** Packed next to split: a fifth slower at most. */
const LEAST_PACKED_RATIO = 1 / 1.2;

interface Shape {
  readonly name: string;
  readonly descriptors: number;
  readonly indirect: boolean;
  /** Has a goal of its own, without a peer. */
  readonly limited: boolean;
}

const SHAPES: readonly Shape[] = [
  { name: '1 descriptor', descriptors: 1, indirect: false, limited: false },
  { name: '3 descriptors', descriptors: 3, indirect: false, limited: true },
  { name: '3 in an indirect table', descriptors: 3, indirect: true, limited: false },
];
const DEPTHS = [
  { name: 'batches of 32', depth: 32, limitNs: 60 },
  { name: 'depth 1', depth: 1, limitNs: 150 },
];

/** A queue whose device end is measured. */
interface Contender {
  readonly driver: DriverQueue;
  /** Uses all that is there, publishes it, and asks for the next kick; how many chains. */
  serve(): number;
}

/**
 * What taking and completing a chain costs a device end; the driver end's work in between is not counted. Ours next to
 * v86's own virtqueue, on the memory of one emulator and in turns, and packed next to split. The best of the rounds.
 */
export async function queueSuite(): Promise<Row[]> {
  const v86 = await V86Queue.open();
  try {
    return DEPTHS.flatMap(({ name: when, depth, limitNs }) =>
      SHAPES.flatMap((shape) => {
        const row = `take+complete, ${shape.name}, ${when}`;
        const [split, packed, theirs] = measure(shape, depth, v86) as [number, number, number];
        return [
          timeAgainst('queue', `${row}, next to v86's`, 'ns', split, theirs, LEAST_RATIO),
          timeAgainst('queue', `${row}, packed next to split`, 'ns', packed, split, LEAST_PACKED_RATIO),
          ...(shape.limited ? [atMost('queue', row, 'ns', split, limitNs)] : []),
        ];
      }),
    );
  } finally {
    await v86.close();
  }
}

function measure({ descriptors, indirect }: Shape, depth: number, v86: V86Queue): number[] {
  const memory = GuestMemory.over(v86.bytes);
  memory.regions[0]!.bytes.fill(0, AREA.start, AREA.start + AREA.bytes);
  const allocator = new GuestAllocator(memory, AREA.start, AREA.bytes);
  const features = { indirect, eventIdx: true };
  const splitDriver = new SplitDriverQueue(allocator, QUEUE_SIZE, features);
  const packedDriver = new PackedDriverQueue(allocator, QUEUE_SIZE, features);
  const peerDriver = new SplitDriverQueue(allocator, QUEUE_SIZE, features);
  v86.setUp(peerDriver.layout);
  const contenders: readonly Contender[] = [
    ours(splitDriver, new SplitDeviceQueue(memory, splitDriver.layout, features)),
    ours(packedDriver, new PackedDeviceQueue(memory, packedDriver.layout, features)),
    { driver: peerDriver, serve: () => v86.serve(WRITTEN) },
  ];
  const { address } = allocator.allocate(8192);
  const list = new BufferList();
  if (descriptors > 1) list.addReadable(address, 16);
  for (let n = 2; n < descriptors; n++) list.addWritable(address + 4096, 4096);
  list.addWritable(address + 16, WRITTEN);
  const best = contenders.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [n, contender] of contenders.entries()) best[n] = Math.min(best[n]!, timeOf(contender, list, depth));
  }
  return best;
}

function ours(driver: DriverQueue, device: DeviceQueue): Contender {
  const serve = (): number => {
    let count = 0;
    for (let chain = device.take(); chain !== undefined; chain = device.take()) {
      device.complete(chain, WRITTEN);
      count++;
    }
    device.publish();
    device.arm();
    return count;
  };
  return { driver, serve };
}

/** Nanoseconds for each chain. */
function timeOf({ driver, serve }: Contender, list: BufferList, depth: number): number {
  let spentNs = 0;
  for (let done = 0; done < CHAINS_PER_ROUND; done += depth) {
    for (let n = 0; n < depth; n++) driver.offer(list);
    driver.expose();
    const start = process.hrtime.bigint();
    const served = serve();
    spentNs += Number(process.hrtime.bigint() - start);
    for (let n = 0; n < depth; n++) {
      if (served !== depth || driver.collect() === undefined) throw new Error('a device end lost a buffer');
    }
  }
  return (spentNs - clockNs() * (CHAINS_PER_ROUND / depth)) / CHAINS_PER_ROUND;
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
