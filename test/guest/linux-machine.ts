import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { Device } from '../../src/device/device.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import type { Disk } from '../../src/devices/block/disk.ts';
import type { FunctionToPlug } from '../../src/hosts/v86/plug-in.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { ioLayout, PciDevice } from '../../src/transports/pci/device.ts';

/** Block devices over disks, and what a machine needs to have them. */
export interface Devices {
  readonly memory: GuestMemory;
  readonly devices: readonly Device[];
  readonly functions: readonly FunctionToPlug[];
  /** Faults of the devices; empty after a test that went well. */
  readonly failures: readonly Error[];
}

export function blockDevices(disks: readonly Disk[]): Devices {
  const memory = new GuestMemory();
  const failures: Error[] = [];
  const devices = disks.map((disk) => {
    const onDiskError = (_: string, error: Error) => failures.push(error);
    const device = new Device(new BlockDevice(disk, { onDiskError }), memory);
    device.observer = { failed: (error) => failures.push(error) };
    return device;
  });
  const functions = devices.map((device) => ({ pci: new PciDevice(device, { layout: ioLayout }) }));
  return { memory, devices, functions, failures };
}

/** A cache folder of the test file's own, for ready states; removed after its tests. */
export function ownCacheFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-guest-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}
