import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { serveVhostUser, VhostUserTransport } from 'virtio-ts/hosts/vhost-user';
import { GuestAllocator } from 'virtio-ts/memory';
import { DeviceId, Status } from 'virtio-ts/spec';
import { HoldingDisk } from './holding-disk.ts';
import { atMost, measured, percentile, type Row } from './row.ts';

const CYCLES = 1000;
const WARM_UP = 200;
const IN_FLIGHT = 128;
const LIMIT_US = 100;

/** From the end of the last request to the driver's sight of a suspended device, over a socket, all in one thread. */
export async function vhostSuspendSuite(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  const path = join(folder, 'socket');
  const disk = new HoldingDisk();
  const server = await serveVhostUser({ path, device: () => new BlockDevice(disk) });
  const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
  const allocator = new GuestAllocator(transport.memory, 4096, 8 << 20);
  const driver = new BlockDriver(transport, allocator);
  await driver.initialize();
  const slices = Array.from({ length: IN_FLIGHT }, () => allocator.allocate(4096));
  const suspends: number[] = [];
  const reads: number[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const requests = Promise.all(slices.map((slice, n) => driver.readInto(n * 8, slice)));
    while (disk.held.length < IN_FLIGHT) await nextTurn();
    const suspended = driver.suspend();
    while ((await server.status()).status === 0x0f) await nextTurn();
    const before = performance.now();
    await transport.readStatus();
    reads.push((performance.now() - before) * 1000);
    for (const request of disk.held.splice(0)) request.complete();
    const from = performance.now();
    while (((await transport.readStatus()) & Status.DRIVER_OK) !== 0);
    suspends.push((performance.now() - from) * 1000);
    await suspended;
    await driver.resume();
    await requests;
  }
  transport.close();
  await server.close();
  rmSync(folder, { recursive: true });
  return [
    measured('vhost-suspend', 'status read, median', 'us', percentile(reads.slice(WARM_UP), 0.5)),
    measured(
      'vhost-suspend',
      `suspend, ${IN_FLIGHT} in flight, median`,
      'us',
      percentile(suspends.slice(WARM_UP), 0.5),
    ),
    atMost(
      'vhost-suspend',
      `suspend, ${IN_FLIGHT} in flight, p99`,
      'us',
      percentile(suspends.slice(WARM_UP), 0.99),
      LIMIT_US,
    ),
  ];
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
