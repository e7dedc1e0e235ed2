/**
 * Whether moving an index from `before` to `after` passed the entry at which the other end asked to be notified (§2.7.7.1,
 * §2.7.10.1). All three wrap at 2^16.
 */
export function eventPassed(event: number, after: number, before: number): boolean {
  return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
}
