import type { QemuOptions } from './qemu.ts';

/** Where devices are reached: PCI with INTx alone, PCI with MSI-X, or virtio-mmio. */
export type QemuBus = 'pci' | 'pci msix' | 'mmio';

export interface QemuDevice {
  /** QEMU's name of the device, without that of its bus: `virtio-blk`. */
  readonly model: string;
  /** What follows the name. */
  readonly options: string;
}

/** A machine with virtio devices, none of them transitional. MSI-X messages go to the first page of its memory. */
export function virtioMachine(
  bus: QemuBus,
  devices: readonly QemuDevice[],
): Pick<QemuOptions, 'machine' | 'messagePage'> & { readonly arguments: string[] } {
  if (bus === 'mmio') {
    const slots = devices.flatMap(({ model, options }) => ['-device', `${model}-device,${options}`]);
    return { machine: 'microvm', arguments: ['-global', 'virtio-mmio.force-legacy=false', ...slots] };
  }
  const functions = devices.flatMap(({ model, options }) => ['-device', `${model}-pci,disable-legacy=on,${options}`]);
  return { machine: 'q35', arguments: functions, ...(bus === 'pci msix' ? { messagePage: 0 } : {}) };
}
