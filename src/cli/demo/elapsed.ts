/** Milliseconds since a time of `performance.now`, to one decimal. */
export function elapsedMs(since: number): number {
  return Math.round((performance.now() - since) * 10) / 10;
}
