/** Device status bits (§2.1). */
export const Status = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  SUSPEND: 0x10,
  DEVICE_NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const;

/** The value of a device that runs: every initialisation bit, nothing else. */
export const RUNNING_STATUS: number = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK;

/** `0x1b` as `ACKNOWLEDGE|DRIVER|FEATURES_OK|SUSPEND (0x1b)`, for messages. */
export function describeStatus(status: number): string {
  const names = Object.entries(Status).filter(([, bit]) => (status & bit) !== 0);
  const hex = `0x${status.toString(16).padStart(2, '0')}`;
  return names.length === 0 ? hex : `${names.map(([name]) => name).join('|')} (${hex})`;
}
