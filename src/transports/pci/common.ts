import type { Device } from '../../device/device.ts';
import type { QueueSlot } from '../../device/queue-slot.ts';
import { joinU64 } from '../../memory/guest-memory.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import { NO_VECTOR, PciCommon } from '../../spec/pci.ts';
import type { AccessWidth } from './function.ts';

/** The driver's selectors: part of the transport's state. */
export interface PciSelectors {
  deviceFeature: number;
  driverFeature: number;
  queue: number;
}

/** What the registers show: a device, through the selectors. */
export interface CommonContext {
  readonly device: Device;
  readonly select: PciSelectors;
}

/** A register: accesses are of its own width, aligned (§4.1.3.1). Without `write` it is read-only. */
export interface CommonRegister {
  readonly name: string;
  readonly offset: number;
  readonly width: AccessWidth;
  read(context: CommonContext): number;
  write?(context: CommonContext, value: number): void;
}

/**
 * The common configuration structure (§4.1.4.3) as a table; 64-bit fields are two registers. While suspended the selectors
 * work, for they are needed to read; what configures the device keeps its value.
 */
const registers: readonly CommonRegister[] = [
  {
    name: 'device_feature_select',
    offset: PciCommon.DEVICE_FEATURE_SELECT,
    width: 4,
    read: ({ select }) => select.deviceFeature,
    write: ({ select }, value) => {
      select.deviceFeature = value;
    },
  },
  {
    name: 'device_feature',
    offset: PciCommon.DEVICE_FEATURE,
    width: 4,
    read: ({ device, select }) => featureWord(device.offered, select.deviceFeature),
  },
  {
    name: 'driver_feature_select',
    offset: PciCommon.DRIVER_FEATURE_SELECT,
    width: 4,
    read: ({ select }) => select.driverFeature,
    write: ({ select }, value) => {
      select.driverFeature = value;
    },
  },
  {
    name: 'driver_feature',
    offset: PciCommon.DRIVER_FEATURE,
    width: 4,
    read: ({ device, select }) => featureWord(device.accepted, select.driverFeature),
    write: ({ device, select }, value) => device.writeFeatures(select.driverFeature, value),
  },
  // Without MSI-X no event can be mapped: a vector that is written reads back as none (§4.1.5.1.2).
  { name: 'config_msix_vector', offset: PciCommon.CONFIG_MSIX_VECTOR, width: 2, read: () => NO_VECTOR },
  { name: 'num_queues', offset: PciCommon.NUM_QUEUES, width: 2, read: ({ device }) => device.queues.length },
  {
    name: 'device_status',
    offset: PciCommon.DEVICE_STATUS,
    width: 1,
    read: ({ device }) => device.status,
    write: ({ device }, value) => device.writeStatus(value),
  },
  {
    name: 'config_generation',
    offset: PciCommon.CONFIG_GENERATION,
    width: 1,
    read: ({ device }) => device.configGeneration & 0xff,
  },
  {
    name: 'queue_select',
    offset: PciCommon.QUEUE_SELECT,
    width: 2,
    read: ({ select }) => select.queue,
    write: ({ select }, value) => {
      select.queue = value;
    },
  },
  {
    name: 'queue_size',
    offset: PciCommon.QUEUE_SIZE,
    width: 2,
    read: (context) => selected(context)?.size ?? 0,
    write: (context, value) => configure(context, (slot) => setSize(slot, value, context.device.accepted)),
  },
  { name: 'queue_msix_vector', offset: PciCommon.QUEUE_MSIX_VECTOR, width: 2, read: () => NO_VECTOR },
  {
    name: 'queue_enable',
    offset: PciCommon.QUEUE_ENABLE,
    width: 2,
    read: (context) => (selected(context)?.enabled === true ? 1 : 0),
    // §4.1.4.3.2: a driver does not write 0; it has no effect.
    write: ({ device, select }, value) => {
      if (value === 1) device.enableQueue(select.queue);
    },
  },
  {
    name: 'queue_notify_off',
    offset: PciCommon.QUEUE_NOTIFY_OFF,
    width: 2,
    read: ({ device, select }) => (select.queue < device.queues.length ? select.queue : 0),
  },
  ...addressRegisters('queue_desc', PciCommon.QUEUE_DESC, 'descriptorArea'),
  ...addressRegisters('queue_driver', PciCommon.QUEUE_DRIVER, 'driverArea'),
  ...addressRegisters('queue_device', PciCommon.QUEUE_DEVICE, 'deviceArea'),
  // The fields behind these belong to features that are not offered, and read 0 like everything reserved.
];

/** The common registers by offset in the structure. */
export const commonRegisters: ReadonlyMap<number, CommonRegister> = new Map(registers.map((r) => [r.offset, r]));

function selected({ device, select }: CommonContext): QueueSlot | undefined {
  return device.queues[select.queue];
}

function configure({ device, select }: CommonContext, change: (slot: QueueSlot) => void): void {
  device.configureQueue(select.queue, change);
}

/** §4.1.4.3.1: without packed rings what is read back is a power of two, so nothing else is taken. */
function setSize(slot: QueueSlot, value: number, accepted: FeatureSet): void {
  const anySize = hasFeature(accepted, Feature.RING_PACKED) || Number.isInteger(Math.log2(value));
  if (value > 0 && value <= slot.description.maxSize && anySize) slot.size = value;
}

/** A 64-bit field as its two halves (§4.1.3.1). */
function addressRegisters(
  name: string,
  offset: number,
  area: 'descriptorArea' | 'driverArea' | 'deviceArea',
): CommonRegister[] {
  const low = (context: CommonContext): number => (selected(context)?.[area] ?? 0) % 0x1_0000_0000;
  const high = (context: CommonContext): number => Math.floor((selected(context)?.[area] ?? 0) / 0x1_0000_0000);
  const set = (context: CommonContext, value: number): void =>
    configure(context, (slot) => {
      slot[area] = value;
    });
  return [
    {
      name: `${name}.low`,
      offset,
      width: 4,
      read: low,
      write: (context, value) => set(context, joinU64(value, high(context))),
    },
    {
      name: `${name}.high`,
      offset: offset + 4,
      width: 4,
      read: high,
      write: (context, value) => set(context, joinU64(low(context), value)),
    },
  ];
}

function featureWord(set: bigint, word: number): number {
  return Number((set >> (BigInt(word) * 32n)) & 0xffff_ffffn);
}
