import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import type { DeviceType } from '../../src/device/device-type.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import type { Disk } from '../../src/devices/block/disk.ts';
import type { FunctionToPlug } from '../../src/hosts/v86/plug-in.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { ioLayout, PciDevice } from '../../src/transports/pci/device.ts';
import { output } from './commanded-guest.ts';

/** A disk's device, and what its status register saw since `clear`. */
export class WatchedDevice {
  readonly device: Device;
  readonly failures: Error[] = [];
  /** Statuses that the driver wrote and that the device then showed: `w1f`, `s1b`. */
  trace: string[] = [];
  kicksWhileSuspended = 0;
  onStatus: ((shown: number) => void) | undefined;

  constructor(type: DeviceType, memory: GuestMemory, options: DeviceOptions = {}) {
    this.device = new Device(type, memory, options);
    this.device.observer = {
      statusWritten: (value) => this.trace.push(`w${hex(value)}`),
      statusShown: (status) => {
        this.trace.push(`s${hex(status)}`);
        this.onStatus?.(status);
      },
      kicked: () => {
        if ((this.device.status & 0x10) !== 0) this.kicksWhileSuspended++;
      },
      failed: (error) => this.failures.push(error),
    };
  }

  get resets(): number {
    return this.trace.filter((entry) => entry === 'w00').length;
  }
}

export interface WatchedDisk {
  readonly disk: Disk;
  readonly options?: DeviceOptions;
  /** Puts something around the device type, to make it fail. */
  readonly wrap?: (type: DeviceType) => DeviceType;
}

export interface SuspendingMachine {
  readonly machine: Machine;
  readonly devices: readonly WatchedDevice[];
}

/** A guest whose drivers can suspend, with disks; the traces begin after the drivers have found them. */
export async function startSuspending(disks: readonly WatchedDisk[]): Promise<SuspendingMachine> {
  const files = await guestFiles({ suspend: true });
  const { memory, devices, functions } = watchedDevices(disks);
  const machine = await startMachine({ files, memory, functions });
  for (const device of devices) device.trace = [];
  return { machine, devices };
}

export function watchedDevices(disks: readonly WatchedDisk[]): {
  memory: GuestMemory;
  devices: WatchedDevice[];
  functions: FunctionToPlug[];
} {
  const memory = new GuestMemory();
  const devices = disks.map(({ disk, options, wrap = (type) => type }) => {
    return new WatchedDevice(wrap(new BlockDevice(disk)), memory, options);
  });
  return { memory, devices, functions: functionsOf(devices) };
}

export function functionsOf(devices: readonly WatchedDevice[]): FunctionToPlug[] {
  return devices.map(({ device }) => ({ pci: new PciDevice(device, { layout: ioLayout }) }));
}

/** What suspend_stats of virtio device `index` says. */
export async function suspendStats(machine: Machine, index = 0): Promise<Record<string, string>> {
  const text = await output(machine, `cat /sys/bus/virtio/devices/virtio${index}/suspend_stats`);
  return Object.fromEntries(
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')),
  );
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}
