import type { Device } from '../../device/device.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { Feature, hasFeature } from '../../spec/features.ts';
import { PciCommon } from '../../spec/pci.ts';
import {
  featureWord,
  type QueueArea,
  type RegisterContext,
  readArea,
  resetSelectedQueue,
  selectedQueue,
  writeArea,
  writeQueueSize,
} from '../registers.ts';
import type { PciInterrupts } from './interrupts.ts';

/** What the common registers show: a device, through the selectors, and its vectors. */
export interface PciRegisterContext extends RegisterContext {
  readonly interrupts: PciInterrupts;
}

/** A register: accesses are of its own width, aligned (§4.1.3.1). Without `write` it is read-only. */
export interface CommonRegister {
  readonly name: string;
  readonly offset: number;
  readonly width: AccessWidth;
  read(context: PciRegisterContext): number;
  write?(context: PciRegisterContext, value: number): void;
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
  // A vector that cannot be mapped reads back as none (§4.1.5.1.2); without MSI-X that is any.
  {
    name: 'config_msix_vector',
    offset: PciCommon.CONFIG_MSIX_VECTOR,
    width: 2,
    read: ({ interrupts }) => interrupts.configVector,
    write: ({ device, interrupts }, value) => {
      if (!device.frozen) interrupts.configVector = value;
    },
  },
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
    read: (context) => selectedQueue(context)?.size ?? 0,
    write: writeQueueSize,
  },
  {
    name: 'queue_msix_vector',
    offset: PciCommon.QUEUE_MSIX_VECTOR,
    width: 2,
    read: ({ interrupts, select }) => interrupts.queueVector(select.queue),
    write: ({ device, interrupts, select }, value) => {
      if (!device.frozen) interrupts.mapQueue(select.queue, value);
    },
  },
  {
    name: 'queue_enable',
    offset: PciCommon.QUEUE_ENABLE,
    width: 2,
    read: (context) => (selectedQueue(context)?.enabled === true ? 1 : 0),
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
  {
    name: 'queue_notif_config_data',
    offset: PciCommon.QUEUE_NOTIF_CONFIG_DATA,
    width: 2,
    read: (context) => notifyValue(context.device, selectedQueue(context)?.index),
  },
  {
    name: 'queue_reset',
    offset: PciCommon.QUEUE_RESET,
    width: 2,
    // A queue reset is done when the write returns, so there is never one to be seen.
    read: () => 0,
    write: (context, value) => {
      if (value === 1) resetSelectedQueue(context);
    },
  },
  // The fields behind these belong to features that are not offered, and read 0 like everything reserved.
];

/**
 * What queue_notif_config_data tells the driver to call a queue in its notifications, where VIRTIO_F_NOTIF_CONFIG_DATA was
 * negotiated. Not the bare index, so that the two can be told apart in a trace.
 */
const NOTIFY_MARK = 0x8000;

function notifyValue(device: Device, queue: number | undefined): number {
  return queue !== undefined && hasFeature(device.accepted, Feature.NOTIF_CONFIG_DATA) ? NOTIFY_MARK | queue : 0;
}

/**
 * The queue that a notification is about, by either name. What else it carries, with VIRTIO_F_NOTIFICATION_DATA, is a hint
 * that this device does not take: the ring decides.
 */
export function notifiedQueue(written: number): number {
  return written & (NOTIFY_MARK - 1);
}

/** The common registers by offset in the structure. */
export const commonRegisters: ReadonlyMap<number, CommonRegister> = new Map(registers.map((r) => [r.offset, r]));

/** A 64-bit field as its two halves (§4.1.3.1). */
function addressRegisters(name: string, offset: number, area: QueueArea): CommonRegister[] {
  return (['low', 'high'] as const).map((half, n) => ({
    name: `${name}.${half}`,
    offset: offset + 4 * n,
    width: 4,
    read: (context) => readArea(context, area, half),
    write: (context, value) => writeArea(context, area, half, value),
  }));
}
