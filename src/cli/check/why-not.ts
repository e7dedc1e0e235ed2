import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import type { DeviceCase } from './device-case.ts';

/** Why a device that is elsewhere cannot be put through a case, if it cannot. */
export function whyNot(
  { type, needs, features = [] }: DeviceCase,
  ring: readonly number[],
  offered: FeatureSet,
): string | undefined {
  if (type !== undefined) return `it is for the ${type}`;
  if (needs !== undefined) return `what is behind the device is out of reach: ${needs.join(', ')}`;
  const missing = [...ring, ...features].find((bit) => !hasFeature(offered, bit));
  return missing === undefined ? undefined : `the device does not offer ${featureName(missing)}`;
}

export function featureName(bit: number): string {
  return `VIRTIO_F_${Object.entries(Feature).find(([, value]) => value === bit)![0]}`;
}
