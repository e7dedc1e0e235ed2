import type { Device } from '../device/device.ts';
import type { QueueSlot } from '../device/queue-slot.ts';
import { joinU64 } from '../memory/guest-memory.ts';
import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import { Status } from '../spec/status.ts';

/** What register models share: a device behind selectors, its features by words, its queues' fields by halves. */

/** The driver's selectors: part of the transport's state. */
export interface Selectors {
  deviceFeature: number;
  driverFeature: number;
  queue: number;
}

/** Whether a saved value is one that an unsigned register can have. */
export function isRegister(value: unknown, most = 0xffff_ffff): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

/** Whether these are saved selectors, that of the queue being no more than `mostQueue`. */
export function areSelectors(saved: unknown, mostQueue: number): saved is Selectors {
  if (typeof saved !== 'object' || saved === null) return false;
  const { deviceFeature, driverFeature, queue } = saved as Partial<Selectors>;
  return isRegister(deviceFeature) && isRegister(driverFeature) && isRegister(queue, mostQueue);
}

/** What registers show: a device, through the selectors. */
export interface RegisterContext {
  readonly device: Device;
  readonly select: Selectors;
}

export type QueueArea = 'descriptorArea' | 'driverArea' | 'deviceArea';

export function selectedQueue({ device, select }: RegisterContext): QueueSlot | undefined {
  return device.queues[select.queue];
}

/** 32 feature bits from bit 32 * `word` on; 0 for words that nobody has. */
export function featureWord(set: FeatureSet, word: number): number {
  return Number((set >> (BigInt(word) * 32n)) & 0xffff_ffffn);
}

/** §4.1.4.3.1: without packed rings what is read back is a power of two, so nothing else is taken. */
export function writeQueueSize({ device, select }: RegisterContext, size: number): void {
  const negotiated = (device.status & Status.FEATURES_OK) !== 0;
  const packed = negotiated && hasFeature(device.accepted, Feature.RING_PACKED);
  if (!packed && !Number.isInteger(Math.log2(size))) return;
  device.configureQueue(select.queue, (slot) => {
    if (size > 0 && size <= slot.description.maxSize) slot.size = size;
  });
}

/** Half of an address of the selected queue (§4.1.3.1). */
export function readArea(context: RegisterContext, area: QueueArea, half: 'low' | 'high'): number {
  const address = selectedQueue(context)?.[area] ?? 0;
  return half === 'low' ? address % 0x1_0000_0000 : Math.floor(address / 0x1_0000_0000);
}

export function writeArea(context: RegisterContext, area: QueueArea, half: 'low' | 'high', value: number): void {
  const low = half === 'low' ? value : readArea(context, area, 'low');
  const high = half === 'high' ? value : readArea(context, area, 'high');
  context.device.configureQueue(context.select.queue, (slot) => {
    slot[area] = joinU64(low, high);
  });
}

/** Resets the selected queue, if the driver negotiated that it can (§2.6.1). */
export function resetSelectedQueue({ device, select }: RegisterContext): void {
  if (hasFeature(device.accepted, Feature.RING_RESET)) device.resetQueue(select.queue);
}
