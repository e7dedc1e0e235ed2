import { Status } from '../spec/status.ts';

/**
 * - `initializing`: from reset until DRIVER_OK.
 * - `running`: completely initialised.
 * - `suspending`: the driver asked for it; buffers are still in processing. Shows SUSPEND and DRIVER_OK both.
 * - `suspended`: quiet. Shows SUSPEND without DRIVER_OK.
 * - `resuming`: the driver asked for it; not running yet. Shows what `suspended` shows.
 * - `needsReset`: a device error that only a reset ends.
 */
export type DeviceState = 'initializing' | 'running' | 'suspending' | 'suspended' | 'resuming' | 'needsReset';

/** What a status write asks the device to do. */
export type StatusAction = 'none' | 'reset' | 'start' | 'suspend' | 'resume' | 'giveUp';

const INITIALIZATION = Status.ACKNOWLEDGE | Status.DRIVER;

/**
 * The device status field (§2.1) with suspend and resume (§3.4), as a pure machine: it decides what a write means and
 * which value is shown; the device does the rest and reports back with `suspended`, `resumed` and `needReset`.
 *
 * What a write means depends on the state, never on the written byte alone: 0x1f suspends a running device and resumes
 * a suspended one, because a driver may not clear bits. Bits missing from a write are not cleared, and trigger nothing.
 */
export class StatusMachine {
  #state: DeviceState = 'initializing';
  #shown = 0;

  get state(): DeviceState {
    return this.#state;
  }

  /** The value of the status field. */
  get shown(): number {
    return this.#shown;
  }

  /** The driver set FAILED: it has given up, and only a reset is obeyed. */
  get failed(): boolean {
    return (this.#shown & Status.FAILED) !== 0;
  }

  /**
   * A driver's write. `featuresAcceptable` is asked when FEATURES_OK is to be set; `suspendNegotiated` tells whether
   * VIRTIO_F_SUSPEND was.
   */
  write(value: number, featuresAcceptable: () => boolean, suspendNegotiated: boolean): StatusAction {
    if (value === 0) return 'reset';
    if ((value & Status.FAILED) !== 0) return this.#giveUp();
    if (this.failed) return 'none';
    switch (this.#state) {
      case 'initializing':
        return this.#initialize(value, featuresAcceptable);
      case 'running':
        if ((value & Status.SUSPEND) === 0 || !suspendNegotiated) return 'none';
        this.#state = 'suspending';
        this.#shown |= Status.SUSPEND;
        return 'suspend';
      case 'suspended':
        if ((value & Status.DRIVER_OK) === 0) return 'none';
        this.#state = 'resuming';
        return 'resume';
      case 'suspending':
      case 'resuming':
      case 'needsReset':
        return 'none';
    }
  }

  /** Suspending is done: both bits flip in one step. */
  suspended(): void {
    this.#state = 'suspended';
    this.#shown = (this.#shown & ~Status.DRIVER_OK) | Status.SUSPEND;
  }

  /** Resuming is done: both bits flip in one step. */
  resumed(): void {
    this.#state = 'running';
    this.#shown = (this.#shown & ~Status.SUSPEND) | Status.DRIVER_OK;
  }

  /**
   * The device failed. A failed suspend shows 0x4f, so that a driver that looks at SUSPEND and DRIVER_OK alone does not
   * take it for a success; a failure while suspended or resuming shows 0x5b.
   */
  needReset(): void {
    if (this.#state === 'suspending') this.#shown &= ~Status.SUSPEND;
    this.#state = 'needsReset';
    this.#shown |= Status.DEVICE_NEEDS_RESET;
  }

  reset(): void {
    this.#state = 'initializing';
    this.#shown = 0;
  }

  /** Takes over a saved state, which the caller has checked with `consistent`. */
  restore(state: DeviceState, shown: number): void {
    this.#state = state;
    this.#shown = shown;
  }

  #giveUp(): StatusAction {
    if (this.failed) return 'none';
    this.#shown |= Status.FAILED;
    return 'giveUp';
  }

  #initialize(value: number, featuresAcceptable: () => boolean): StatusAction {
    this.#shown |= value & INITIALIZATION;
    if ((value & Status.FEATURES_OK) !== 0 && (this.#shown & Status.FEATURES_OK) === 0 && featuresAcceptable()) {
      this.#shown |= Status.FEATURES_OK;
    }
    if ((value & Status.DRIVER_OK) === 0 || (this.#shown & Status.FEATURES_OK) === 0) return 'none';
    this.#state = 'running';
    this.#shown |= Status.DRIVER_OK;
    return 'start';
  }
}

/** Whether a status value can be shown in a state; for saved states, which may be damaged. */
export function consistent(state: DeviceState, shown: number): boolean {
  const { FEATURES_OK, DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;
  const relevant = shown & (FEATURES_OK | DRIVER_OK | SUSPEND | DEVICE_NEEDS_RESET);
  switch (state) {
    case 'initializing':
      return relevant === 0 || relevant === FEATURES_OK;
    case 'running':
      return relevant === (FEATURES_OK | DRIVER_OK);
    case 'suspending':
      return relevant === (FEATURES_OK | DRIVER_OK | SUSPEND);
    case 'suspended':
    case 'resuming':
      return relevant === (FEATURES_OK | SUSPEND);
    case 'needsReset':
      return (shown & DEVICE_NEEDS_RESET) !== 0;
  }
}
