/** What a device asks of the transport that shows its registers. Calls come in the order in which the driver is to see them. */
export interface DeviceTransport {
  /** A used buffer notification of one queue (§2.3). */
  usedBuffer(queue: number): void;
  /** A configuration change notification. */
  configChange(): void;
  /** The device was reset: pending interrupts, vectors and selectors are gone. */
  reset(): void;
}

/** What can be watched from outside. For traces, logs and tests; has no say. */
export interface DeviceObserver {
  statusWritten?(value: number): void;
  /** The shown status has changed, for whatever reason. */
  statusShown?(status: number): void;
  kicked?(queue: number): void;
  usedNotified?(queue: number): void;
  configNotified?(): void;
  /** Its state was saved, at rest. */
  saved?(): void;
  /** It goes on with a saved state; comes before the status that it shows by that. */
  restored?(): void;
  /** FEATURES_OK was refused. */
  featuresRefused?(reason: string): void;
  /** The device went to DEVICE_NEEDS_RESET, and why. */
  failed?(error: Error): void;
}
