import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import type { DriverOptions, DriverTransport } from 'virtio-ts/driver';
import { DirectTransport, PciLoopback } from 'virtio-ts/hosts/loopback';
import { startWorkerDevice } from 'virtio-ts/hosts/loopback/node';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { Feature } from 'virtio-ts/spec';
import { MemoryDisk } from 'virtio-ts/storage';
import { PciDevice, PciDriverTransport } from 'virtio-ts/transports/pci';
import { measured, type Row } from './row.ts';

const MEMORY_BYTES = 4 * 1024 * 1024;
export const CAPACITY_SECTORS = 64 * 1024;
const DEPTHS = [1, 32, 128];
const ROUNDS = 5;
const ROUND_MS = 300;
/** Notifications by flags. */
const FLAGS = [Feature.EVENT_IDX];

/** 4 KiB reads from a memory disk, through our driver and our device. Best of the rounds. */
export async function loopbackSuite(): Promise<Row[]> {
  const rows: Row[] = [];
  const add = (row: string, rate: number): void => void rows.push(measured('loopback', row, 'requests/s', rate));
  for (const depth of DEPTHS) {
    add(`4k reads, direct, depth ${depth}`, await measureThread('direct', depth));
    add(`4k reads, direct, without event index, depth ${depth}`, await measureThread('direct', depth, FLAGS));
    add(`4k reads, pci, depth ${depth}`, await measureThread('pci', depth));
    add(`4k reads, worker, depth ${depth}`, await measureWorker(depth));
    add(`4k reads, worker, without event index, depth ${depth}`, await measureWorker(depth, FLAGS));
  }
  return rows;
}

async function measureThread(via: 'direct' | 'pci', depth: number, decline: readonly number[] = []): Promise<number> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: CAPACITY_SECTORS })), memory);
  const transport =
    via === 'direct'
      ? new DirectTransport(device)
      : await PciDriverTransport.open(new PciLoopback(new PciDevice(device)));
  return measure(transport, memory, depth, { decline });
}

async function measureWorker(depth: number, decline: readonly number[] = []): Promise<number> {
  const shared = new SharedArrayBuffer(MEMORY_BYTES);
  const worker = await startWorkerDevice({ module: new URL('./worker-device.js', import.meta.url), memory: shared });
  try {
    return await measure(worker.transport, GuestMemory.over(new Uint8Array(shared)), depth, { decline });
  } finally {
    await worker.close();
  }
}

async function measure(
  transport: DriverTransport,
  memory: GuestMemory,
  depth: number,
  options: DriverOptions = {},
): Promise<number> {
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const driver = new BlockDriver(transport, allocator, options);
  await driver.initialize();
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let done = 0;
    const start = performance.now();
    const end = start + ROUND_MS;
    const lane = async (index: number): Promise<void> => {
      const slice = allocator.allocate(4096, 4096);
      for (let sector = index * 8; performance.now() < end; sector = (sector + 8 * depth) % CAPACITY_SECTORS) {
        await driver.readInto(sector, slice);
        done++;
      }
      allocator.release(slice);
    };
    await Promise.all(Array.from({ length: depth }, (_, index) => lane(index)));
    best = Math.max(best, (done * 1000) / (performance.now() - start));
  }
  return best;
}
