/** How often a property is tried, from which seed on. */
export interface Runs {
  readonly seed: number;
  readonly numRuns: number;
}

/** A property's own seed and number of runs; `npm run fuzz` gives another seed by SEED, and more runs by TIMES. */
export function runs(seed: number, numRuns: number): Runs {
  return { seed: Number(process.env['SEED'] ?? seed), numRuns: numRuns * Number(process.env['TIMES'] ?? 1) };
}
