import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { serveVhostUser, type VhostUserServer, VhostUserTransport } from 'virtio-ts/hosts/vhost-user';
import { GuestAllocator } from 'virtio-ts/memory';
import { DeviceId, Status } from 'virtio-ts/spec';
import { HeldDriver, nextTurn, suspendedToDrained } from './held-driver.ts';
import { HoldingDisk } from './holding-disk.ts';
import { atMost, measured, percentile, type Row } from './row.ts';

const CYCLES = 5000;
const WARM_UP = 1000;
const IN_FLIGHT = 128;
const LIMIT_US = 100;
const DEVICES = 100;
/** ACKNOWLEDGE, DRIVER and FEATURES_OK, and what a suspend makes of DRIVER_OK. */
const RUNNING = 0x0f;
const SUSPENDED = 0x1b;

/** A disk of this process behind a socket, and its driver, in the same thread. */
class Served extends HeldDriver {
  readonly server: VhostUserServer;
  readonly transport: VhostUserTransport;

  private constructor(server: VhostUserServer, transport: VhostUserTransport, disk: HoldingDisk, inFlight: number) {
    const allocator = new GuestAllocator(transport.memory, 4096, 8 << 20);
    super(new BlockDriver(transport, allocator), disk, allocator, inFlight);
    this.server = server;
    this.transport = transport;
  }

  static async start(path: string, inFlight: number): Promise<Served> {
    const disk = new HoldingDisk();
    const server = await serveVhostUser({ path, device: () => new BlockDevice(disk) });
    const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    const served = new Served(server, transport, disk, inFlight);
    await served.driver.initialize();
    return served;
  }

  async status(): Promise<number> {
    return (await this.server.status()).status;
  }

  async close(): Promise<void> {
    this.transport.close();
    await this.server.close();
  }
}

/**
 * How long after the last completion a driver that looks without a pause sees, over a socket, that its device is suspended; and
 * whether many devices of one process are suspended as soon as the slowest of them is drained.
 */
export async function vhostSuspendSuite(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  try {
    return [...(await oneDevice(folder)), await manyDevices(folder)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function oneDevice(folder: string): Promise<Row[]> {
  const served = await Served.start(join(folder, 'one'), IN_FLIGHT);
  const { driver, transport } = served;
  const shown: number[] = [];
  const suspends: number[] = [];
  const seen: number[] = [];
  const reads: number[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const { requests } = await served.fill();
    const completed = requests.then(() => performance.now());
    const suspended = driver.suspend();
    while ((await served.status()) === RUNNING) await nextTurn();
    const before = performance.now();
    await transport.readStatus();
    reads.push((performance.now() - before) * 1000);
    const from = served.drain();
    if ((await served.status()) === SUSPENDED) shown.push((performance.now() - from) * 1000);
    while (((await transport.readStatus()) & Status.DRIVER_OK) !== 0);
    const at = performance.now();
    suspends.push((at - from) * 1000);
    seen.push((at - (await completed)) * 1000);
    await suspended;
    await driver.resume();
  }
  await served.close();
  if (shown.length < CYCLES)
    throw new Error(`${CYCLES - shown.length} suspends were not done with the last completion`);
  const us = (name: string, samples: readonly number[], fraction: number, limit?: number): Row => {
    const value = percentile(samples.slice(WARM_UP), fraction);
    const row = ['vhost-suspend', name, 'us', value] as const;
    return limit === undefined ? measured(...row) : atMost(...row, limit);
  };
  return [
    us('status read, median', reads, 0.5),
    us('status read, p99', reads, 0.99),
    us(`suspend, ${IN_FLIGHT} in flight, until the device shows it, p99`, shown, 0.99, LIMIT_US),
    us(`suspend, ${IN_FLIGHT} in flight, after the driver has the last of them, p99`, seen, 0.99, LIMIT_US),
    us(`suspend, ${IN_FLIGHT} in flight, with what the driver does with them, median`, suspends, 0.5),
    us(`suspend, ${IN_FLIGHT} in flight, with what the driver does with them, p99`, suspends, 0.99),
  ];
}

async function manyDevices(folder: string): Promise<Row> {
  const all = await Promise.all(Array.from({ length: DEVICES }, (_, n) => Served.start(join(folder, `${n}`), 32)));
  const ratio = await suspendedToDrained(all, async () => {
    for (const served of all) while ((await served.status()) !== SUSPENDED) await nextTurn();
    return performance.now();
  });
  for (const served of all) await served.close();
  return atMost('vhost-suspend', `${DEVICES} devices suspended, to the slowest drain`, 'x', ratio, 1.2);
}
