import { Mmio } from '../../spec/mmio.ts';
import type { Located, MmioAccess } from '../trace.ts';

/** Which way a register may be accessed (§4.2.2). */
type Direction = 'R' | 'W' | 'RW';

const { QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE, SHM_LEN, SHM_BASE } = Mmio;

/** Every register below the configuration space. */
const REGISTERS: ReadonlyMap<number, { readonly name: string; readonly direction: Direction }> = new Map(
  (
    [
      [Mmio.MAGIC_VALUE, 'MagicValue', 'R'],
      [Mmio.VERSION, 'Version', 'R'],
      [Mmio.DEVICE_ID, 'DeviceID', 'R'],
      [Mmio.VENDOR_ID, 'VendorID', 'R'],
      [Mmio.DEVICE_FEATURES, 'DeviceFeatures', 'R'],
      [Mmio.DEVICE_FEATURES_SEL, 'DeviceFeaturesSel', 'W'],
      [Mmio.DRIVER_FEATURES, 'DriverFeatures', 'W'],
      [Mmio.DRIVER_FEATURES_SEL, 'DriverFeaturesSel', 'W'],
      [Mmio.QUEUE_SEL, 'QueueSel', 'W'],
      [Mmio.QUEUE_SIZE_MAX, 'QueueSizeMax', 'R'],
      [Mmio.QUEUE_SIZE, 'QueueSize', 'W'],
      [Mmio.QUEUE_READY, 'QueueReady', 'RW'],
      [Mmio.QUEUE_NOTIFY, 'QueueNotify', 'W'],
      [Mmio.INTERRUPT_STATUS, 'InterruptStatus', 'R'],
      [Mmio.INTERRUPT_ACK, 'InterruptACK', 'W'],
      [Mmio.STATUS, 'Status', 'RW'],
      [QUEUE_DESC, 'QueueDescLow', 'W'],
      [QUEUE_DESC + 4, 'QueueDescHigh', 'W'],
      [QUEUE_DRIVER, 'QueueDriverLow', 'W'],
      [QUEUE_DRIVER + 4, 'QueueDriverHigh', 'W'],
      [QUEUE_DEVICE, 'QueueDeviceLow', 'W'],
      [QUEUE_DEVICE + 4, 'QueueDeviceHigh', 'W'],
      [Mmio.SHM_SEL, 'SHMSel', 'W'],
      [SHM_LEN, 'SHMLenLow', 'R'],
      [SHM_LEN + 4, 'SHMLenHigh', 'R'],
      [SHM_BASE, 'SHMBaseLow', 'R'],
      [SHM_BASE + 4, 'SHMBaseHigh', 'R'],
      [Mmio.QUEUE_RESET, 'QueueReset', 'RW'],
      [Mmio.CONFIG_GENERATION, 'ConfigGeneration', 'R'],
    ] as const
  ).map(([offset, name, direction]) => [offset, { name, direction }]),
);

/** The register that an access touches, whatever its width and alignment; undefined where there is none. */
export function registerAt(offset: number): { readonly name: string; readonly direction: Direction } | undefined {
  return REGISTERS.get(offset - (offset % 4));
}

/** Registers of a queue that belong to the device while the queue is ready. */
export const SETTINGS: ReadonlySet<number> = new Set([
  Mmio.QUEUE_SIZE,
  ...[QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE].flatMap((low) => [low, low + 4]),
]);

/** Where it is told that there is shared memory. */
export const SHARED_MEMORY: ReadonlySet<number> = new Set([
  Mmio.SHM_SEL,
  ...[SHM_LEN, SHM_BASE].flatMap((low) => [low, low + 4]),
]);

/** A handler that is called for accesses of one kind to one register. */
export function at(
  access: 'read' | 'write',
  register: number,
  then: (event: Located<MmioAccess>) => void,
): (event: Located<MmioAccess>) => void {
  return (event) => {
    if (event.access === access && event.offset === register) then(event);
  };
}
