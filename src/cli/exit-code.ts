/** What scripts can rely on. */
export const ExitCode = {
  OK: 0,
  /** What was asked for was tried and failed, or was found to be wrong. */
  FAILED: 1,
  /** The command line makes no sense. */
  USAGE: 2,
} as const;
