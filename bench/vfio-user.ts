import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { serveVfioUser, VfioUserClient, type VfioUserServer } from 'virtio-ts/hosts/vfio-user';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { Status } from 'virtio-ts/spec';
import { PciDevice, PciDriverTransport } from 'virtio-ts/transports/pci';
import { HeldDriver, nextTurn, suspendedToDrained } from './held-driver.ts';
import { HoldingDisk } from './holding-disk.ts';
import { atMost, measured, percentile, type Row } from './row.ts';

const CYCLES = 1000;
const WARM_UP = 200;
const IN_FLIGHT = 128;
const LIMIT_US = 500;
const DEVICES = 100;
/** ACKNOWLEDGE, DRIVER and FEATURES_OK, and what a suspend makes of DRIVER_OK. */
const RUNNING = 0x0f;
const SUSPENDED = 0x1b;

/** A disk of this process behind a socket, and its driver, in the same thread. */
class Served extends HeldDriver {
  readonly device: Device;
  readonly transport: PciDriverTransport;
  readonly #server: VfioUserServer;
  readonly #client: VfioUserClient;

  private constructor(
    { device, server, disk }: { readonly device: Device; readonly server: VfioUserServer; readonly disk: HoldingDisk },
    client: VfioUserClient,
    transport: PciDriverTransport,
    inFlight: number,
  ) {
    const allocator = new GuestAllocator(client.memory, 4096, 8 << 20);
    super(new BlockDriver(transport, allocator), disk, allocator, inFlight);
    this.device = device;
    this.transport = transport;
    this.#server = server;
    this.#client = client;
  }

  static async start(path: string, inFlight: number): Promise<Served> {
    const memory = new GuestMemory();
    const disk = new HoldingDisk();
    const device = new Device(new BlockDevice(disk, { queueSize: 256 }), memory);
    const server = serveVfioUser({ path, function: new PciDevice(device, { vectors: 2 }), memory });
    const client = await VfioUserClient.connect(path);
    const transport = await PciDriverTransport.open(client);
    const served = new Served({ disk, device, server }, client, transport, inFlight);
    await served.driver.initialize();
    return served;
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#server.close();
  }
}

/**
 * What a register costs; how long after the last completion a driver that looks without a pause sees that its device is suspended;
 * and whether many devices of one process are suspended as soon as the slowest of them is drained.
 */
export async function vfioUserSuite(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  try {
    return [...(await oneDevice(folder)), await manyDevices(folder)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function oneDevice(folder: string): Promise<Row[]> {
  const served = await Served.start(join(folder, 'one'), IN_FLIGHT);
  const { driver, device, transport } = served;
  const reads = await samples(async () => {
    await transport.readStatus();
    return undefined;
  });
  const suspends = await samples(async () => {
    const { requests } = await served.fill();
    const suspended = driver.suspend();
    while (device.status === RUNNING) await nextTurn();
    const from = served.drain();
    while (((await transport.readStatus()) & Status.DRIVER_OK) !== 0);
    const elapsedMs = performance.now() - from;
    await suspended;
    await driver.resume();
    await requests;
    return elapsedMs;
  });
  await served.close();
  return [
    measured('vfio-user', 'register read, median', 'us', percentile(reads, 0.5)),
    atMost('vfio-user', `suspend, ${IN_FLIGHT} in flight, p99`, 'us', percentile(suspends, 0.99), LIMIT_US),
  ];
}

async function manyDevices(folder: string): Promise<Row> {
  const all = await Promise.all(Array.from({ length: DEVICES }, (_, n) => Served.start(join(folder, `${n}`), 32)));
  const ratio = await suspendedToDrained(all, async () => {
    for (const { device } of all) while (device.status !== SUSPENDED) await nextTurn();
    return performance.now();
  });
  for (const served of all) await served.close();
  return atMost('vfio-user', `${DEVICES} devices suspended, to the slowest drain`, 'x', ratio, 1.2);
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
