import { Mmio } from '../../spec/mmio.ts';
import { PciCommon } from '../../spec/pci.ts';
import type { MmioAccess } from '../../transports/mmio/driver.ts';
import type { PciStructures } from '../../transports/pci/capabilities.ts';
import type { PciAccess } from '../../transports/pci/driver.ts';

/** What registers show that a driver seldom reads. */
export interface ShownRegisters {
  /** Of one queue, by the standard's names: all that can be read. */
  queue(index: number): Promise<Readonly<Record<string, number>>>;
  /** The interrupt status: 1 for used buffers, 2 for the configuration. Over PCI it is 0 then. */
  interruptStatus(): Promise<number>;
}

const PCI_QUEUE: readonly (readonly [name: string, offset: number, width: 2 | 4])[] = [
  ['queue_size', PciCommon.QUEUE_SIZE, 2],
  ['queue_enable', PciCommon.QUEUE_ENABLE, 2],
  ['queue_msix_vector', PciCommon.QUEUE_MSIX_VECTOR, 2],
  ['queue_notify_off', PciCommon.QUEUE_NOTIFY_OFF, 2],
  ['queue_desc', PciCommon.QUEUE_DESC, 4],
  ['queue_desc, high', PciCommon.QUEUE_DESC + 4, 4],
  ['queue_driver', PciCommon.QUEUE_DRIVER, 4],
  ['queue_driver, high', PciCommon.QUEUE_DRIVER + 4, 4],
  ['queue_device', PciCommon.QUEUE_DEVICE, 4],
  ['queue_device, high', PciCommon.QUEUE_DEVICE + 4, 4],
];

export function pciRegisters(access: PciAccess, { common, isr }: PciStructures): ShownRegisters {
  return {
    queue: async (index) => {
      await access.writeBar(common.bar, common.offset + PciCommon.QUEUE_SELECT, 2, index);
      const shown: Record<string, number> = {};
      for (const [name, offset, width] of PCI_QUEUE) {
        shown[name] = (await access.readBar(common.bar, common.offset + offset, width)) >>> 0;
      }
      return shown;
    },
    interruptStatus: async () => access.readBar(isr.bar, isr.offset, 1),
  };
}

/** Over MMIO the addresses of a queue can only be written. */
export function mmioRegisters(access: MmioAccess): ShownRegisters {
  return {
    queue: async (index) => {
      await access.write(Mmio.QUEUE_SEL, 4, index);
      return {
        QueueSizeMax: await access.read(Mmio.QUEUE_SIZE_MAX, 4),
        QueueReady: await access.read(Mmio.QUEUE_READY, 4),
      };
    },
    interruptStatus: async () => access.read(Mmio.INTERRUPT_STATUS, 4),
  };
}
