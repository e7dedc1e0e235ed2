import type { DeviceState } from '../../src/device/status-machine.ts';
import { Status } from '../../src/spec/status.ts';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, FAILED } = Status;

/** A device as far as its status tells. */
export interface StatusModel {
  readonly shown: number;
  readonly state: DeviceState;
}

/**
 * What a status write means, told once more from the standard and without the machine: bits are only added, a reset comes
 * first, FAILED next, then the one thing that the state waits for.
 */
export function afterWrite(
  before: StatusModel,
  value: number,
  features: 'fit' | 'do not fit',
  suspend: 'negotiated' | 'not negotiated',
): StatusModel {
  const { shown, state } = before;
  if (value === 0) return { shown: 0, state: 'initializing' };
  if ((value & FAILED) !== 0) return { shown: shown | FAILED, state };
  if ((shown & FAILED) !== 0) return before;
  if (state === 'initializing') {
    let next = shown | (value & (ACKNOWLEDGE | DRIVER));
    if ((value & FEATURES_OK) !== 0 && features === 'fit') next |= FEATURES_OK;
    if ((value & DRIVER_OK) === 0 || (next & FEATURES_OK) === 0) return { shown: next, state };
    return { shown: next | DRIVER_OK, state: 'running' };
  }
  if (state === 'running' && suspend === 'negotiated' && (value & SUSPEND) !== 0) {
    return { shown: shown | SUSPEND, state: 'suspending' };
  }
  if (state === 'suspended' && (value & DRIVER_OK) !== 0) return { shown, state: 'resuming' };
  return before;
}
