import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { serveVfioUser, VfioUserClient } from 'virtio-ts/hosts/vfio-user';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { Status } from 'virtio-ts/spec';
import { PciDevice, PciDriverTransport } from 'virtio-ts/transports/pci';
import { HoldingDisk } from './holding-disk.ts';
import { atMost, measured, percentile, type Row } from './row.ts';

const CYCLES = 1000;
const WARM_UP = 200;
const IN_FLIGHT = 128;
const LIMIT_US = 500;

/**
 * A disk of this process behind a socket, and its driver in the same thread: what a register costs, and how long after the last
 * completion a driver that looks without a pause sees that its device is suspended.
 */
export async function vfioUserSuite(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  const memory = new GuestMemory();
  const disk = new HoldingDisk();
  const device = new Device(new BlockDevice(disk, { queueSize: 256 }), memory);
  const path = join(folder, 'socket');
  const server = serveVfioUser({ path, function: new PciDevice(device, { vectors: 2 }), memory });
  const client = await VfioUserClient.connect(path);
  try {
    const transport = await PciDriverTransport.open(client);
    const allocator = new GuestAllocator(client.memory, 4096, 8 << 20);
    const driver = new BlockDriver(transport, allocator);
    await driver.initialize();
    const reads = await samples(async () => {
      await transport.readStatus();
      return undefined;
    });
    const slices = Array.from({ length: IN_FLIGHT }, () => allocator.allocate(4096));
    const suspends = await samples(async () => {
      const requests = slices.map((slice, n) => driver.readInto(n * 8, slice));
      while (disk.held.length < IN_FLIGHT) await new Promise((resolve) => setImmediate(resolve));
      const suspended = driver.suspend();
      while (device.status === 0x0f) await new Promise((resolve) => setImmediate(resolve));
      const last = disk.held.pop()!;
      for (const request of disk.held.splice(0)) request.complete();
      const from = performance.now();
      last.complete();
      while (((await transport.readStatus()) & Status.DRIVER_OK) !== 0);
      const elapsedMs = performance.now() - from;
      await suspended;
      await driver.resume();
      await Promise.all(requests);
      return elapsedMs;
    });
    return [
      measured('vfio-user', 'register read, median', 'us', percentile(reads, 0.5)),
      atMost('vfio-user', `suspend, ${IN_FLIGHT} in flight, p99`, 'us', percentile(suspends, 0.99), LIMIT_US),
    ];
  } finally {
    client.close();
    await server.close();
    rmSync(folder, { recursive: true });
  }
}

/** Microseconds that `action` took, each time, or that it says. */
async function samples(action: () => Promise<number | undefined>): Promise<number[]> {
  const all: number[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const from = performance.now();
    const elapsedMs = await action();
    all.push((elapsedMs ?? performance.now() - from) * 1000);
  }
  return all.slice(WARM_UP);
}
