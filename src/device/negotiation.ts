import { Feature, type FeatureSet, featureBits, hasFeature } from '../spec/features.ts';

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
