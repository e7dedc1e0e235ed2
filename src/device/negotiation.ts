import { Feature, type FeatureSet, featureBits, featureSet, hasFeature } from '../spec/features.ts';
import type { DeviceOptions } from './device-options.ts';
import type { DeviceType } from './device-type.ts';

/** What every device offers unless told otherwise, whatever its type; and what it can offer besides. */
const ALWAYS: FeatureSet = featureSet(Feature.INDIRECT_DESC, Feature.EVENT_IDX, Feature.VERSION_1, Feature.SUSPEND);
const ON_REQUEST: FeatureSet = featureSet(
  Feature.RING_PACKED,
  Feature.IN_ORDER,
  Feature.NOTIFICATION_DATA,
  Feature.NOTIF_CONFIG_DATA,
  Feature.RING_RESET,
);

/** The features of a device. Throws RangeError when `options` ask for one that there is not. */
export function offeredFeatures(type: DeviceType, { withhold = [], offer = [] }: DeviceOptions): FeatureSet {
  const unknown = featureBits(featureSet(...offer) & ~ON_REQUEST);
  if (unknown.length > 0) throw new RangeError(`feature ${unknown.join(', ')} cannot be offered on request`);
  return (ALWAYS | featureSet(...offer) | type.features) & ~featureSet(...withhold);
}

/**
 * Why a device refuses a set of accepted features (§2.2.2), or undefined. The device then leaves FEATURES_OK clear.
 * `typeRefuses` asks the device type about its own bits.
 */
export function refuseFeatures(
  accepted: FeatureSet,
  offered: FeatureSet,
  typeRefuses: (features: FeatureSet) => string | undefined,
): string | undefined {
  const foreign = featureBits(accepted & ~offered);
  if (foreign.length > 0) return `feature ${foreign.join(', ')} was accepted but not offered`;
  if (!hasFeature(accepted, Feature.VERSION_1))
    return 'VIRTIO_F_VERSION_1 was not accepted, and there is no legacy interface';
  return typeRefuses(accepted);
}
