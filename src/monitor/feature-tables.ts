import { DeviceId } from '../spec/device-ids.ts';
import { Feature, type FeatureSet, featureBits, featureSet, hasFeature } from '../spec/features.ts';

/** What the standard says about feature bits of one device type, and of all. */

/** Bits that the standard defines for queues and negotiation (§6). */
const GENERIC: FeatureSet = featureSet(...Object.values(Feature).filter((bit) => bit !== Feature.ADMIN_VQ));

/** Bits that the standard defines for a device type (§5.1.3, §5.2.3, §5.3.3, §5.4.3, §5.8.3). Other types are not looked at. */
const OF_TYPE: Readonly<Record<number, FeatureSet>> = {
  // 6, 41 and 42 are names that were taken for what has been deployed (§5.1.3.2).
  [DeviceId.NET]: featureSet(
    ...[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23, 41, 42],
    ...[50, 51, 52, 53, 54, 55, 56, 57, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70],
  ),
  // 0 and 7 belong to the legacy interface.
  [DeviceId.BLOCK]: featureSet(1, 2, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17),
  [DeviceId.CONSOLE]: featureSet(0, 1, 2),
  [DeviceId.ENTROPY]: 0n,
  // Input devices have none.
  18: 0n,
};

/** Bits that have no meaning for a device: not defined, reserved, or another type's (§2.2). */
export function undefinedBits(features: FeatureSet, device: number): readonly number[] {
  const ofType = OF_TYPE[device];
  return featureBits(features & ~GENERIC).filter((bit) => {
    const belongsToType = bit < 24 || bit === 42 || (bit >= 50 && bit < 128);
    // 41 is the administration queue of any type as well.
    if (bit === Feature.ADMIN_VQ) return false;
    return !belongsToType || (ofType !== undefined && !hasFeature(ofType, bit));
  });
}

/** A bit, and those that it needs: one of each group (§5.1.3.1). */
const NEEDS_OF_NET: readonly (readonly [bit: number, ...groups: readonly (readonly number[])[]])[] = [
  [7, [1]],
  [8, [1]],
  [9, [7, 8]],
  [10, [1]],
  [11, [0]],
  [12, [0]],
  [13, [11, 12]],
  [14, [0]],
  [18, [17]],
  [19, [17]],
  [21, [17]],
  [22, [17]],
  [23, [17]],
  [51, [17], [57, 60]],
  [52, [17]],
  [53, [17]],
  [54, [1]],
  [55, [1]],
  [56, [0]],
  [60, [17]],
  [61, [11, 12]],
  [64, [17], [60]],
  [66, [65]],
  [68, [67]],
];

/** The first bit of a set that lacks one that it needs, and what it needs; undefined when there is none. */
export function unmetNeed(
  features: FeatureSet,
  device: number,
): { readonly bit: number; readonly needs: readonly number[] } | undefined {
  if (device !== DeviceId.NET) return undefined;
  for (const [bit, ...groups] of NEEDS_OF_NET) {
    if (!hasFeature(features, bit)) continue;
    const needs = groups.find((group) => !group.some((needed) => hasFeature(features, needed)));
    if (needs !== undefined) return { bit, needs };
  }
  return undefined;
}

/** Fields of a configuration space that are there only with a feature: from, to, and the bits of which one is enough. */
const GUARDED_FIELDS: Readonly<
  Record<number, readonly (readonly [from: number, to: number, bits: readonly number[]])[]>
> = {
  [DeviceId.NET]: [
    [0, 6, [5]],
    [6, 8, [16]],
    [8, 10, [22, 60]],
    [10, 12, [3]],
    [12, 17, [63]],
    [17, 24, [57, 60]],
  ],
  [DeviceId.BLOCK]: [
    [8, 12, [1]],
    [12, 16, [2]],
    [16, 20, [4]],
    [20, 24, [6]],
    [24, 32, [10]],
    [32, 33, [11]],
    [34, 36, [12]],
    [36, 48, [13]],
    [48, 57, [14]],
    [60, 72, [16]],
    [72, 96, [17]],
  ],
  [DeviceId.CONSOLE]: [
    [0, 4, [0]],
    [4, 8, [1]],
    [8, 12, [2]],
  ],
};

/** The bits of which one has to be offered for a field to be there; undefined for one that always is, or is not known. */
export function guardOf(device: number, offset: number): readonly number[] | undefined {
  return GUARDED_FIELDS[device]?.find(([from, to]) => offset >= from && offset < to)?.[2];
}

/** Where the fields of 64 bits are (§5.2.4): capacity of a disk, context id of a socket. */
const WIDE_FIELDS: Readonly<Record<number, readonly number[]>> = { [DeviceId.BLOCK]: [0], 19: [0] };

export function isWideField(device: number, offset: number): boolean {
  return WIDE_FIELDS[device]?.includes(offset) === true;
}
