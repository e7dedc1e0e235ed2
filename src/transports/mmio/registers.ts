import { MMIO_MAGIC, MMIO_VERSION, Mmio } from '../../spec/mmio.ts';
import {
  featureWord,
  type QueueArea,
  type RegisterContext,
  resetSelectedQueue,
  selectedQueue,
  writeArea,
  writeQueueSize,
} from '../registers.ts';

/** A range of memory that device and driver share (§2.10), as the driver finds it. */
export interface SharedMemoryRegion {
  readonly id: number;
  /** In the driver's physical address space. */
  readonly address: number;
  readonly length: number;
}

/** What the registers show besides the device. */
export interface MmioContext extends RegisterContext {
  readonly vendorId: number;
  readonly interruptStatus: number;
  acknowledge(bits: number): void;
  /** The region that SHMSel names, if there is one. */
  readonly sharedMemory: SharedMemoryRegion | undefined;
  selectSharedMemory(id: number): void;
}

/** A register of 32 bits. What is write-only reads 0, what is read-only takes no write. */
export interface MmioRegister {
  readonly name: string;
  readonly offset: number;
  read?(context: MmioContext): number;
  write?(context: MmioContext, value: number): void;
}

/** The control registers (§4.2.2) as a table; 64-bit values are two registers. */
const registers: readonly MmioRegister[] = [
  { name: 'MagicValue', offset: Mmio.MAGIC_VALUE, read: () => MMIO_MAGIC },
  { name: 'Version', offset: Mmio.VERSION, read: () => MMIO_VERSION },
  { name: 'DeviceID', offset: Mmio.DEVICE_ID, read: ({ device }) => device.type.deviceId },
  { name: 'VendorID', offset: Mmio.VENDOR_ID, read: ({ vendorId }) => vendorId },
  {
    name: 'DeviceFeatures',
    offset: Mmio.DEVICE_FEATURES,
    read: ({ device, select }) => featureWord(device.offered, select.deviceFeature),
  },
  {
    name: 'DeviceFeaturesSel',
    offset: Mmio.DEVICE_FEATURES_SEL,
    write: ({ select }, value) => {
      select.deviceFeature = value;
    },
  },
  {
    name: 'DriverFeatures',
    offset: Mmio.DRIVER_FEATURES,
    write: ({ device, select }, value) => device.writeFeatures(select.driverFeature, value),
  },
  {
    name: 'DriverFeaturesSel',
    offset: Mmio.DRIVER_FEATURES_SEL,
    write: ({ select }, value) => {
      select.driverFeature = value;
    },
  },
  {
    name: 'QueueSel',
    offset: Mmio.QUEUE_SEL,
    write: ({ select }, value) => {
      select.queue = value;
    },
  },
  {
    name: 'QueueSizeMax',
    offset: Mmio.QUEUE_SIZE_MAX,
    read: (context) => selectedQueue(context)?.description.maxSize ?? 0,
  },
  { name: 'QueueSize', offset: Mmio.QUEUE_SIZE, write: writeQueueSize },
  {
    name: 'QueueReady',
    offset: Mmio.QUEUE_READY,
    read: (context) => (selectedQueue(context)?.enabled === true ? 1 : 0),
    write: ({ device, select }, value) => {
      if (value === 1) device.enableQueue(select.queue);
      else if (value === 0) device.disableQueue(select.queue);
    },
  },
  { name: 'QueueNotify', offset: Mmio.QUEUE_NOTIFY, write: ({ device }, value) => device.kick(value & 0xffff) },
  { name: 'InterruptStatus', offset: Mmio.INTERRUPT_STATUS, read: ({ interruptStatus }) => interruptStatus },
  { name: 'InterruptACK', offset: Mmio.INTERRUPT_ACK, write: (context, value) => context.acknowledge(value) },
  {
    name: 'Status',
    offset: Mmio.STATUS,
    read: ({ device }) => device.status,
    write: ({ device }, value) => device.writeStatus(value & 0xff),
  },
  ...addressRegisters('QueueDesc', Mmio.QUEUE_DESC, 'descriptorArea'),
  ...addressRegisters('QueueDriver', Mmio.QUEUE_DRIVER, 'driverArea'),
  ...addressRegisters('QueueDevice', Mmio.QUEUE_DEVICE, 'deviceArea'),
  { name: 'SHMSel', offset: Mmio.SHM_SEL, write: (context, value) => context.selectSharedMemory(value) },
  ...sharedMemoryRegisters('SHMLen', Mmio.SHM_LEN, 'length'),
  ...sharedMemoryRegisters('SHMBase', Mmio.SHM_BASE, 'address'),
  {
    name: 'QueueReset',
    offset: Mmio.QUEUE_RESET,
    // A queue reset is done when the write returns, so there is never one to be seen.
    read: () => 0,
    write: (context, value) => {
      if (value === 1) resetSelectedQueue(context);
    },
  },
  { name: 'ConfigGeneration', offset: Mmio.CONFIG_GENERATION, read: ({ device }) => device.configGeneration },
];

/** The control registers by offset. */
export const mmioRegisters: ReadonlyMap<number, MmioRegister> = new Map(registers.map((r) => [r.offset, r]));

function addressRegisters(name: string, offset: number, area: QueueArea): MmioRegister[] {
  return [
    { name: `${name}Low`, offset, write: (context, value) => writeArea(context, area, 'low', value) },
    { name: `${name}High`, offset: offset + 4, write: (context, value) => writeArea(context, area, 'high', value) },
  ];
}

/** A region that there is not has a length of -1 and lies at the last address. */
function sharedMemoryRegisters(name: string, offset: number, member: 'length' | 'address'): MmioRegister[] {
  const low = ({ sharedMemory }: MmioContext): number =>
    sharedMemory === undefined ? 0xffff_ffff : sharedMemory[member] % 0x1_0000_0000;
  const high = ({ sharedMemory }: MmioContext): number =>
    sharedMemory === undefined ? 0xffff_ffff : Math.floor(sharedMemory[member] / 0x1_0000_0000);
  return [
    { name: `${name}Low`, offset, read: low },
    { name: `${name}High`, offset: offset + 4, read: high },
  ];
}
