import { isHeld, isSuspending, showsRest, showsRunning } from './shown.ts';
import type { State } from './state.ts';
import { afterOne, type Step } from './step.ts';

function isServing(s: State): boolean {
  return showsRunning(s.status) && s.rest === 'open' && !isHeld(s) && s.queue === 'live';
}

export function takeAvailable(step: Step): void {
  const { s } = step;
  if (step.is('looks into its queue at rest') && s.queue === 'live' && showsRest(s.status)) step.said.push('take ');
  if (!isServing(s) || (s.orphans > 0 && !step.is('serves before old buffers are back'))) return;
  step.said.push(`take ${s.available}`);
  s.taken += s.available;
  s.available = '';
  s.deviceWants = step.askedWish;
}

export function use(step: Step, buffers: string): void {
  const { s } = step;
  step.said.push(`use ${buffers}`);
  s.used += buffers;
  if (s.driverWants !== 'none') s.owesUsed = true;
  s.driverWants = afterOne(s.driverWants);
  const isLate = step.settings.telling === 'late' || (step.is('defers its interrupts') && isSuspending(s));
  if (!isLate) tellUsed(step);
}

export function tellUsed(step: Step): void {
  const { s } = step;
  if (!s.owesUsed) return;
  s.owesUsed = false;
  s.usedInterrupt = true;
  step.said.push('interrupt used');
}

export function closeQueue(s: State): void {
  for (const letter of s.taken) if (letter >= 'a') s.orphans++;
  s.taken = '';
  s.owesUsed = false;
  // Nobody will ever look there.
  s.available = '';
}
