/** One measured figure, as the table and `--json` have it. */
export interface Row {
  readonly suite: string;
  readonly row: string;
  readonly unit: string;
  readonly ours: number;
  /** The same work done by somebody else in the same run; null where there is nobody. */
  readonly peer: number | null;
  /** How many times better ours is than the peer's. */
  readonly ratio: number | null;
  /** The goal, in words; null where nothing was promised. */
  readonly goal: string | null;
  readonly met: boolean | null;
}

/** A figure that has to stay at or below `limit`. */
export function atMost(suite: string, row: string, unit: string, ours: number, limit: number): Row {
  return {
    suite,
    row,
    unit,
    ours: round(ours),
    peer: null,
    ratio: null,
    goal: `<= ${limit} ${unit}`,
    met: ours <= limit,
  };
}

/** A figure without a goal. */
export function measured(suite: string, row: string, unit: string, ours: number): Row {
  return { suite, row, unit, ours: round(ours), peer: null, ratio: null, goal: null, met: null };
}

/** A rate next to a peer's, higher being better: `ratio` has to reach `least`. */
export function against(
  suite: string,
  row: string,
  unit: string,
  ours: number,
  peer: number,
  least: number | null,
): Row {
  const ratio = ours / peer;
  return {
    suite,
    row,
    unit,
    ours: round(ours),
    peer: round(peer),
    ratio: Math.round(ratio * 100) / 100,
    goal: least === null ? null : `>= ${round(least)}x`,
    met: least === null ? null : ratio >= least,
  };
}

/** A time next to a peer's, lower being better: ours is to be `least` times shorter. */
export function timeAgainst(suite: string, row: string, unit: string, ours: number, peer: number, least: number): Row {
  const { ratio, goal, met } = against(suite, row, unit, peer, ours, least);
  return { suite, row, unit, ours: round(ours), peer: round(peer), ratio, goal, met };
}

/** Nearest-rank percentile; 0 for no samples. */
export function percentile(samples: readonly number[], fraction: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? 0;
}

function round(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 100) / 100;
}
