/** The tables of what is supported, for the README: each cell is tried out, and is what came of it. */
import { Device } from '../../src/device/device.ts';
import type { DeviceType } from '../../src/device/device-type.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { BlockFeature } from '../../src/devices/block/layout.ts';
import { ConsoleDevice } from '../../src/devices/console/device.ts';
import { ConsoleDriver } from '../../src/devices/console/driver.ts';
import { ConsoleFeature } from '../../src/devices/console/layout.ts';
import { EntropyDevice } from '../../src/devices/entropy/device.ts';
import { EntropyDriver } from '../../src/devices/entropy/driver.ts';
import { NetDevice } from '../../src/devices/net/device.ts';
import { NetDriver } from '../../src/devices/net/driver.ts';
import { NetFeature } from '../../src/devices/net/layout.ts';
import type { Driver } from '../../src/driver/driver.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { MessageTransport } from '../../src/hosts/loopback/message-transport.ts';
import { MmioLoopback } from '../../src/hosts/loopback/mmio.ts';
import { PciLoopback } from '../../src/hosts/loopback/pci.ts';
import { serveDevice } from '../../src/hosts/loopback/serve.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Feature, featureBits, hasFeature } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { MmioDevice } from '../../src/transports/mmio/device.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { PciDevice } from '../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { messagePair } from './message-pair.ts';
import { VfioUserBus } from './vfio-user-bus.ts';

const MEMORY_BYTES = 1 << 20;
const RING_FEATURES = [
  'INDIRECT_DESC',
  'EVENT_IDX',
  'IN_ORDER',
  'NOTIFICATION_DATA',
  'NOTIF_CONFIG_DATA',
  'RING_RESET',
] as const satisfies readonly (keyof typeof Feature)[];

/** What devices offer only when they are told to. */
const ON_REQUEST = [Feature.IN_ORDER, Feature.NOTIFICATION_DATA, Feature.NOTIF_CONFIG_DATA, Feature.RING_RESET];

const WAYS: Readonly<Record<string, (device: Device) => Promise<DriverTransport>>> = {
  'direct calls': async (device) => new DirectTransport(device),
  'PCI, INTx': (device) => PciDriverTransport.open(new PciLoopback(new PciDevice(device))),
  'PCI, MSI-X': (device) =>
    PciDriverTransport.open(new PciLoopback(new PciDevice(device, { vectors: 1 + device.queues.length }))),
  'PCI, over vfio-user': (device) => PciDriverTransport.open(new VfioUserBus(new PciDevice(device))),
  'MMIO, version 2': async (device) => (await MmioDriverTransport.open(new MmioLoopback(new MmioDevice(device))))!,
  'messages to a worker': async (device) => {
    const [near, far] = messagePair();
    const opening = MessageTransport.open(near);
    serveDevice(far, () => device);
    return await opening;
  },
};

/** Whether an end does a thing: what it threw is why not. */
async function yesOrNo(attempt: () => Promise<boolean>): Promise<'yes' | 'no'> {
  return (await attempt().catch(() => false)) ? 'yes' : 'no';
}

/** Both formats of virtqueues over all transports. */
export async function ringTable(): Promise<string> {
  const rows: string[][] = [];
  for (const format of ['split', 'packed'] as const) {
    for (const [way, open] of Object.entries(WAYS)) rows.push([format, way, ...(await ringCells(format, open))]);
  }
  return table(['virtqueue', 'transport', 'device', 'driver', 'suspend', 'features'], rows);
}

async function ringCells(
  format: 'split' | 'packed',
  open: (device: Device) => Promise<DriverTransport>,
): Promise<string[]> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const offer = format === 'packed' ? [Feature.RING_PACKED, ...ON_REQUEST] : ON_REQUEST;
  const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 64 })), memory, { offer });
  const block = new BlockDriver(await open(device), new GuestAllocator(memory, 0x1000, MEMORY_BYTES - 0x1000));
  const driver = await yesOrNo(async () => {
    await block.initialize();
    return hasFeature(block.driver.features, Feature.RING_PACKED) === (format === 'packed') && (await works(block));
  });
  const suspend = await yesOrNo(() => suspends(device, block.driver, () => works(block)));
  const names = RING_FEATURES.filter((name) => hasFeature(device.accepted, Feature[name]));
  const isThere = (device.status & Status.DRIVER_OK) !== 0;
  return [isThere ? 'yes' : 'no', driver, suspend, names.join(', ')];
}

async function works(block: BlockDriver): Promise<boolean> {
  const bytes = new Uint8Array(4096).map((_, n) => (n * 31) & 0xff);
  await block.write(8, bytes);
  return Buffer.compare(await block.read(8, 4096), bytes) === 0;
}

async function suspends(device: Device, driver: Driver, afterwards: () => Promise<boolean>): Promise<boolean> {
  await driver.suspend();
  if ((device.status & (Status.SUSPEND | Status.DRIVER_OK)) !== Status.SUSPEND) return false;
  await driver.resume();
  return await afterwards();
}

interface TypeUnderTrial {
  readonly name: string;
  readonly make: () => DeviceType;
  readonly drive: (
    transport: DriverTransport,
    allocator: GuestAllocator,
  ) => { driver: Driver; initialize(): Promise<void> };
  readonly features: Readonly<Record<string, number>>;
}

const disk = (): MemoryDisk => new MemoryDisk({ capacitySectors: 64 });

/** Each with as much behind it as it can make use of. */
const TYPES: readonly TypeUnderTrial[] = [
  {
    name: 'network (1), one pair of queues, no offloads',
    make: () => new NetDevice({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 1500, transmit: () => undefined }),
    drive: (transport, allocator) => new NetDriver(transport, allocator),
    features: NetFeature,
  },
  {
    name: 'block (2), as the disk allows; RO when it is read-only',
    make: () => new BlockDevice(disk(), { sizeMax: 65536, queues: 2 }),
    drive: (transport, allocator) => new BlockDriver(transport, allocator),
    features: BlockFeature,
  },
  {
    name: 'console (3), one port',
    make: () => new ConsoleDevice({ size: { columns: 80, rows: 25 }, output: async () => undefined }),
    drive: (transport, allocator) => new ConsoleDriver(transport, allocator),
    features: ConsoleFeature,
  },
  {
    name: 'entropy (4)',
    make: () => new EntropyDevice(async (bytes) => void bytes.fill(1)),
    drive: (transport, allocator) => new EntropyDriver(transport, allocator),
    features: {},
  },
];

/** The device types, with the features that the device has when everything behind it allows them. */
export async function typeTable(): Promise<string> {
  const rows = await Promise.all(TYPES.map(async (type) => [type.name, ...(await typeCells(type))]));
  return table(['device type', 'device', 'driver', 'suspend', 'saved state', 'features'], rows);
}

async function typeCells({ make, drive, features }: TypeUnderTrial): Promise<string[]> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const device = new Device(make(), memory);
  const transport = new DirectTransport(device);
  const end = drive(transport, new GuestAllocator(memory, 0x1000, MEMORY_BYTES - 0x1000));
  const driver = await yesOrNo(async () => {
    await end.initialize();
    return end.driver.state === 'running';
  });
  const suspend = await yesOrNo(() => suspends(device, end.driver, async () => end.driver.state === 'running'));
  const saved = await yesOrNo(async () => {
    await end.driver.suspend();
    const next = new Device(make(), memory);
    next.restore(JSON.parse(JSON.stringify(device.save())));
    transport.connect(next);
    await end.driver.resume();
    return end.driver.state === 'running' && (next.status & Status.DRIVER_OK) !== 0;
  });
  const offered = featureBits(device.type.features);
  const names = Object.entries(features).filter(([, bit]) => offered.includes(bit));
  const isThere = (device.status & Status.FEATURES_OK) !== 0;
  return [isThere ? 'yes' : 'no', driver, suspend, saved, names.map(([name]) => name).join(', ') || '–'];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
