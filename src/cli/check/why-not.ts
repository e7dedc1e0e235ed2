import { BlockFeature } from '../../devices/block/layout.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import type { DeviceCase } from './device-case.ts';

const NO_REGISTERS = 'the way to the device has no registers of queues to read';

/** Why a device of ours cannot be put through a case, if it cannot. */
export function whyNotOurs({ reads }: DeviceCase, hasRegisters: boolean): string | undefined {
  return reads === undefined || hasRegisters ? undefined : NO_REGISTERS;
}

/** Why a device that is elsewhere cannot be put through a case, if it cannot. */
export function whyNot(
  { type, needs, reads, features = [] }: DeviceCase,
  ring: readonly number[],
  offered: FeatureSet,
  hasRegisters: boolean,
): string | undefined {
  const missing = [...ring, ...features].find((bit) => !hasFeature(offered, bit));
  if (missing !== undefined) return `the device does not offer ${featureName(missing)}`;
  if (type !== undefined) return `it is for the ${type}`;
  if (needs !== undefined) return `what is behind the device is out of reach: ${needs.join(', ')}`;
  return reads === undefined || hasRegisters ? undefined : NO_REGISTERS;
}

export function featureName(bit: number): string {
  const generic = Object.entries(Feature).find(([, value]) => value === bit);
  if (generic !== undefined) return `VIRTIO_F_${generic[0]}`;
  return `VIRTIO_BLK_F_${Object.entries(BlockFeature).find(([, value]) => value === bit)![0]}`;
}
