import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { PciLoopback } from 'virtio-ts/hosts/loopback';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { PciDevice, PciDriverTransport } from 'virtio-ts/transports/pci';
import { HoldingDisk } from './holding-disk.ts';
import { atMost, percentile, type Row } from './row.ts';

const MEMORY_BYTES = 4 * 1024 * 1024;
const CYCLES = 2000;
const WARM_UP = 500;
const LIMIT_US = 50;

/**
 * From the status write to the suspended state, without the time that the disk takes for what is in flight: with
 * requests in flight, from the completion of the last of them. In one thread.
 */
export async function suspendSuite(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const inFlight of [0, 32, 128]) {
    const samples = await measure(inFlight);
    rows.push(atMost('suspend', `${inFlight} in flight, p99`, 'us', percentile(samples, 0.99), LIMIT_US));
  }
  return rows;
}

async function measure(inFlight: number): Promise<number[]> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const disk = new HoldingDisk();
  const device = new Device(new BlockDevice(disk, { queueSize: 256 }), memory);
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const driver = new BlockDriver(await PciDriverTransport.open(new PciLoopback(new PciDevice(device))), allocator);
  await driver.initialize();
  const slices = Array.from({ length: inFlight }, () => allocator.allocate(4096));
  const samples: number[] = [];
  let from = 0;
  device.observer = {
    statusWritten: (value) => {
      if (value === 0x1f) from = performance.now();
    },
    statusShown: (status) => {
      if (status === 0x1b) samples.push((performance.now() - from) * 1000);
    },
  };
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const requests = slices.map((slice, n) => driver.readInto(n * 8, slice));
    while (disk.held.length < inFlight) await Promise.resolve();
    const suspended = driver.suspend();
    while (device.status === 0x0f) await Promise.resolve();
    if (inFlight > 0) {
      const last = disk.held.pop()!;
      for (const request of disk.held.splice(0)) request.complete();
      from = performance.now();
      last.complete();
    }
    await suspended;
    await driver.resume();
    await Promise.all(requests);
  }
  return samples.slice(WARM_UP);
}
