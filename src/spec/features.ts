/** Feature bits that belong to no device type (§6), by number. Device types have theirs in their layout.ts. */
export const Feature = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  ACCESS_PLATFORM: 33,
  RING_PACKED: 34,
  IN_ORDER: 35,
  ORDER_PLATFORM: 36,
  SR_IOV: 37,
  NOTIFICATION_DATA: 38,
  NOTIF_CONFIG_DATA: 39,
  RING_RESET: 40,
  /** §2.2, §6: 41 is the admin virtqueue bit in text and a device type's in the ranges; 42 is a net bit, never SUSPEND. */
  ADMIN_VQ: 41,
  SUSPEND: 43,
} as const;

/** A set of feature bits. Sets are bigint: negotiation happens once per reset. */
export type FeatureSet = bigint;

export function featureSet(...bits: readonly number[]): FeatureSet {
  return bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

export function hasFeature(set: FeatureSet, bit: number): boolean {
  return ((set >> BigInt(bit)) & 1n) === 1n;
}

/** The bits of a set, ascending. */
export function featureBits(set: FeatureSet): number[] {
  const bits: number[] = [];
  for (let bit = 0, rest = set; rest !== 0n; bit++, rest >>= 1n) if ((rest & 1n) === 1n) bits.push(bit);
  return bits;
}
