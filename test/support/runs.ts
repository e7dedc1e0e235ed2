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

/** As `runs`, for sessions over a socket: SESSIONS says how many they are. */
export function sessionRuns(seed: number, numRuns: number): Runs {
  const { SESSIONS } = process.env;
  return SESSIONS === undefined ? runs(seed, numRuns) : { ...runs(seed, numRuns), numRuns: Number(SESSIONS) };
}

/** What has come of them, where they were asked for by number. */
export function reportSessions(protocol: string, counts: Readonly<Record<string, number>>): void {
  if (process.env.SESSIONS === undefined) return;
  const text = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  process.stdout.write(`${protocol}: ${text.join(', ')}\n`);
}
