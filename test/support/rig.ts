import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import { BlockDevice, type BlockDeviceOptions } from '../../src/devices/block/device.ts';
import type { Disk } from '../../src/devices/block/disk.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import type { DriverOptions } from '../../src/driver/driver.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { MmioLoopback } from '../../src/hosts/loopback/mmio.ts';
import { PciLoopback } from '../../src/hosts/loopback/pci.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { describeStatus } from '../../src/spec/status.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { MmioDevice } from '../../src/transports/mmio/device.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { ioLayout, memoryLayout, PciDevice, type PciDeviceOptions } from '../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { VfioUserBus } from './vfio-user-bus.ts';
import { WindowAccess } from './window-access.ts';

/** How a driver reaches its device, all within one thread. */
export const ways = ['direct', 'pci io', 'pci memory', 'pci msix', 'vfio-user', 'mmio'] as const;
/** `pci window` is for the suites that ask for it: every register through the PCI configuration access capability. */
export type Way = (typeof ways)[number] | 'pci window';

/** A driver's transport to `device`. For PCI with the function, and the loopback bus that it is plugged in. */
export interface Connection {
  readonly transport: DriverTransport;
  readonly pci: PciDevice | undefined;
  readonly mmio: MmioDevice | undefined;
  readonly bus: PciBus | undefined;
  /** Puts another device behind the driver, as when a saved state goes on in a new one. */
  replace(device: Device): PciDevice | undefined;
}

export async function connect(device: Device, way: Way = 'direct'): Promise<Connection> {
  if (way === 'direct') {
    const transport = new DirectTransport(device);
    const replace = (next: Device): undefined => {
      transport.connect(next);
    };
    return { transport, pci: undefined, mmio: undefined, bus: undefined, replace };
  }
  return way === 'mmio' ? connectMmio(device) : connectPci(device, way);
}

async function connectMmio(device: Device): Promise<Connection> {
  const mmio = new MmioDevice(device);
  const bus = new MmioLoopback(mmio);
  const replace = (next: Device): undefined => {
    bus.connect(new MmioDevice(next));
  };
  const transport = (await MmioDriverTransport.open(bus))!;
  return { transport, pci: undefined, mmio, bus: undefined, replace };
}

async function connectPci(device: Device, way: Way): Promise<Connection> {
  const options = pciOptions(device, way);
  const pci = new PciDevice(device, options);
  const bus = pciBus(pci, way);
  const replace = (next: Device): PciDevice => {
    const fn = new PciDevice(next, options);
    bus.connect(fn);
    return fn;
  };
  const access = way === 'pci window' ? new WindowAccess(bus) : bus;
  return { transport: await PciDriverTransport.open(access), pci, mmio: undefined, bus, replace };
}

type PciBus = PciLoopback | VfioUserBus;

/** A bus with one function, which accesses reach by calls, or as messages. */
export function pciBus(fn: PciDevice, way: Way): PciBus {
  return way === 'vfio-user' ? new VfioUserBus(fn) : new PciLoopback(fn);
}

/** How a function of a way is made: with INTx alone, or with a vector for each event. */
export function pciOptions(device: Device, way: Way): PciDeviceOptions {
  return {
    layout: way === 'pci io' ? ioLayout : memoryLayout,
    vectors: way === 'pci msix' ? 1 + device.queues.length : 0,
  };
}

/** What a device showed, in order: `status ...`, `used 0`, `config`, `refused ...`, `failed ...`. */
export function watch(device: Device): string[] {
  const events: string[] = [];
  device.observer = {
    statusShown: (status) => events.push(`status ${describeStatus(status)}`),
    usedNotified: (queue) => events.push(`used ${queue}`),
    configNotified: () => events.push('config'),
    featuresRefused: (reason) => events.push(`refused ${reason}`),
    failed: (error) => events.push(`failed ${error.message}`),
  };
  return events;
}

export interface BlockRigOptions {
  readonly way?: Way;
  /** A MemoryDisk of 2048 sectors by default. */
  readonly disk?: Disk;
  readonly block?: BlockDeviceOptions;
  readonly device?: DeviceOptions;
  readonly driver?: DriverOptions;
  /** 4 MiB by default; the driver has all but the first page. */
  readonly memoryBytes?: number;
}

export interface BlockRig extends Connection {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly disk: Disk;
  readonly device: Device;
  readonly driver: BlockDriver;
  /** See `watch`. */
  readonly events: string[];
}

/** A block driver, its device and a disk over one memory; not initialised yet. */
export async function makeBlockRig(options: BlockRigOptions = {}): Promise<BlockRig> {
  const memory = GuestMemory.over(new Uint8Array(options.memoryBytes ?? 4 << 20));
  const size = memory.regions[0]!.size;
  const allocator = new GuestAllocator(memory, 0x1000, size - 0x1000);
  const disk = options.disk ?? new MemoryDisk({ capacitySectors: 2048 });
  const device = new Device(new BlockDevice(disk, options.block), memory, options.device);
  const events = watch(device);
  const connection = await connect(device, options.way);
  const driver = new BlockDriver(connection.transport, allocator, options.driver);
  return { ...connection, memory, allocator, disk, device, driver, events };
}

/** As `makeBlockRig`, with the driver initialised. */
export async function startBlockRig(options: BlockRigOptions = {}): Promise<BlockRig> {
  const rig = await makeBlockRig(options);
  await rig.driver.initialize();
  return rig;
}

/** Distinct bytes for test data. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >>> 8) * 31 + seed * 97) & 0xff);
}
