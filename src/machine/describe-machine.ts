import { assignPlaces } from '../hosts/v86/plug-in.ts';
import { PCI_DEVICE_BASE, PciHeader } from '../spec/pci.ts';
import { v86Version } from './emulator.ts';
import { defaultMemoryBytes, type MachineOptions } from './machine.ts';
import type { DescribedDisk, MachineDescription } from './saved-machine-manifest.ts';

/** What a machine made with `options` is, and the disks behind its block devices: for saving it, and for going on from it. */
export function describeMachine(
  options: Pick<MachineOptions, 'functions' | 'memoryBytes'>,
  disks: readonly DescribedDisk[],
): MachineDescription {
  const devices = assignPlaces(options.functions ?? []).map(({ pci, slot }) => {
    return { slot, deviceId: pci.readConfig(PciHeader.DEVICE, 2) - PCI_DEVICE_BASE, name: pci.name };
  });
  return { versions: { v86: v86Version }, memoryBytes: options.memoryBytes ?? defaultMemoryBytes, devices, disks };
}
