import type { LoadCounts } from './tagged-load.ts';

/** What one run of the loopback load has shown. */
export interface LoopbackReport {
  readonly requests: number;
  readonly cycles: number;
  /** Suspended states that were saved and went on in a new device. */
  readonly moved: number;
  /** Requests that were made and never answered, or whose write never reached the disk. */
  readonly lost: number;
  /** Writes that reached the disk more than once. */
  readonly duplicated: number;
  /** Answers with an error or with wrong bytes. */
  readonly wrong: number;
  readonly firstError: string | null;
  /** The status values of the last cycle, in order. */
  readonly statuses: readonly string[];
  /** From the suspend request to the suspended state, in microseconds. */
  readonly drainUs: Percentiles;
  /** Most requests in flight when a suspend was asked for. */
  readonly mostInFlight: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest-rank percentiles; zeroes for no samples. */
export function percentiles(samples: readonly number[]): Percentiles {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (fraction: number): number => sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? 0;
  const round = (value: number): number => Math.round(value * 10) / 10;
  return { p50: round(at(0.5)), p99: round(at(0.99)), max: round(at(1)) };
}

export function isClean(report: LoopbackReport): boolean {
  return report.lost === 0 && report.duplicated === 0 && report.wrong === 0 && report.requests > 0;
}

/** Puts the two sides together: what the driver's side asked for, and what reached the disk. */
export function report(
  load: LoadCounts,
  disk: { readonly executed: number; readonly repeated: number },
  run: Pick<LoopbackReport, 'cycles' | 'moved' | 'statuses' | 'mostInFlight'> & {
    readonly drainsUs: readonly number[];
  },
): LoopbackReport {
  const { drainsUs, ...rest } = run;
  return {
    requests: load.requests,
    lost: Math.max(0, load.requests - load.settled) + Math.max(0, load.writes - disk.executed),
    duplicated: disk.repeated,
    wrong: load.wrong,
    firstError: load.firstError?.message ?? null,
    drainUs: percentiles(drainsUs),
    ...rest,
  };
}
