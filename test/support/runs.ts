/** How often a property is tried, from which seed on. */
export interface Runs {
  readonly seed: number;
  readonly numRuns: number;
  /** What went wrong is said with the example. */
  readonly includeErrorInReport: true;
}

/** A property's own seed and number of runs; `npm run fuzz` gives another seed by SEED, and more runs by TIMES. */
export function runs(seed: number, numRuns: number): Runs {
  const { SEED, TIMES = 1 } = process.env;
  return { seed: Number(SEED ?? seed), numRuns: numRuns * Number(TIMES), includeErrorInReport: true };
}
