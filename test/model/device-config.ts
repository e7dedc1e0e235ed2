import { Status } from '../../src/spec/status.ts';
import { isFrozen, isHeldAtRest } from './shown.ts';
import type { Step } from './step.ts';

const { DRIVER_OK, SUSPEND } = Status;

export function changeConfig(step: Step): void {
  const { s } = step;
  if ((s.status & (DRIVER_OK | SUSPEND)) !== 0) s.untold = true;
  if (isFrozen(s)) {
    s.changeHeld = true;
    if (step.is('tells a change at rest')) sendConfigInterrupt(step);
    return;
  }
  // With it, what was held back before is shown, too.
  s.changeHeld = false;
  s.stale = true;
  tellChange(step);
}

/** The driver reads the configuration space. */
export function readConfig(step: Step): void {
  step.said.push('read config');
  step.s.stale = false;
  if (step.is('tells a change whenever it is read')) sendConfigInterrupt(step);
}

/** What was held back is shown and told, once. */
export function settleChange(step: Step): void {
  const { s } = step;
  if (isFrozen(s) || !(s.changeHeld || s.owesChange)) return;
  const isForgotten = s.changeHeld && step.is('forgets a held change');
  if (s.changeHeld && !isForgotten) s.stale = true;
  s.changeHeld = false;
  if (!isForgotten) tellChange(step);
}

/** A notification is due to a driver that has set DRIVER_OK; while the host holds the device, later. */
export function tellChange(step: Step): void {
  const { s } = step;
  const isLive = (s.status & DRIVER_OK) !== 0;
  const isLater = s.pauseHeld && isHeldAtRest(s);
  s.owesChange = isLive && isLater;
  if (isLive && !isLater) sendConfigInterrupt(step);
}

function sendConfigInterrupt(step: Step): void {
  step.s.configInterrupt = true;
  step.s.untold = false;
  step.said.push('interrupt config');
}
