/**
 * Whether moving an index from `before` to `after` passed the entry at which the other end asked to be notified (§2.7.7.1,
 * §2.7.10.1). All three wrap at 2^16.
 */
export function eventPassed(event: number, after: number, before: number): boolean {
  return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
}

/**
 * The same for a packed ring (§2.8.10): whether the last `count` descriptors, which ended at `next` under the wrap counter
 * `wrap`, passed the one that `event` names by position and wrap counter (bit 15).
 */
export function packedEventPassed(event: number, next: number, wrap: number, count: number, size: number): boolean {
  const position = event & 0x7fff;
  // A position under the other counter is one round back.
  const rounded = event >>> 15 === wrap ? position : position - size;
  return rounded < next && rounded >= next - count;
}
