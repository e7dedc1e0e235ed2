import { Status } from '../../src/spec/status.ts';
import type { State } from './state.ts';
import type { Step } from './step.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

/** SUSPEND is shown and DRIVER_OK is not: what a driver takes for suspended. */
export function showsRest(status: number): boolean {
  return (status & (SUSPEND | DRIVER_OK)) === SUSPEND;
}

/** Running, and not on the way to anything else. */
export function showsRunning(status: number): boolean {
  return (status & (SUSPEND | DRIVER_OK | DEVICE_NEEDS_RESET | FAILED)) === DRIVER_OK;
}

export function needsReset(status: number): boolean {
  return (status & DEVICE_NEEDS_RESET) !== 0;
}

/** Somebody holds the device, and it is there. */
export function isHeldAtRest(s: State): boolean {
  return s.rest === 'quiet' && isHeld(s);
}

export function isHeld(s: State): boolean {
  return s.suspendHeld || s.pauseHeld;
}

export function isSuspending(s: State): boolean {
  return (s.status & (SUSPEND | DRIVER_OK)) === (SUSPEND | DRIVER_OK);
}

/** Suspended or resuming: the configuration space and the registers of queues keep their values. */
export function isFrozen(s: State): boolean {
  return isHeldAtRest(s) || (showsRest(s.status) && !needsReset(s.status));
}

export function show(step: Step, status: number): void {
  step.s.status = status;
  step.said.push(`status ${hex(status)}`);
}

export function hex(status: number): string {
  return status.toString(16).padStart(2, '0');
}
