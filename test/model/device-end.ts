import { Status } from '../../src/spec/status.ts';
import { settleChange, tellChange } from './device-config.ts';
import { closeQueue, takeAvailable, tellUsed, use } from './device-queue.ts';
import { hex, isHeld, isHeldAtRest, isSuspending, needsReset, show, showsRest } from './shown.ts';
import type { State } from './state.ts';
import type { Step } from './step.ts';

const { DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

// ---- What the driver does to it ----

/** A status write of a driver that keeps to the order; `value` has all bits that were read. */
export function writeStatus(step: Step, value: number): void {
  const { s } = step;
  step.said.push(`write ${hex(value)}`);
  if (value === 0) reset(step);
  else if ((s.status & FAILED) !== 0) return;
  else if ((value & FAILED) !== 0) show(step, s.status | FAILED);
  else if (needsReset(s.status)) return;
  else if ((s.status & (DRIVER_OK | SUSPEND)) === 0) initialize(step, value);
  else if (isSuspending(s)) return;
  else if ((s.status & DRIVER_OK) !== 0) {
    if ((value & SUSPEND) !== 0) suspend(step);
  } else if ((value & DRIVER_OK) !== 0 && s.suspendHeld) {
    s.suspendHeld = false;
    letGo(step);
  }
}

export function enableQueue(step: Step): void {
  const { s } = step;
  step.said.push('enable');
  s.queue = (s.status & DRIVER_OK) !== 0 && !needsReset(s.status) ? 'live' : 'enabled';
  takeAvailable(step);
}

/** Only what was in processing is still known, until it ends. */
export function resetQueue(step: Step): void {
  step.said.push('reset queue');
  closeQueue(step.s);
  step.s.queue = 'off';
  finishHold(step);
}

function initialize(step: Step, value: number): void {
  const { s } = step;
  // Features that a reset made it forget are not acceptable.
  if (s.status === 0 && (value & FEATURES_OK) !== 0) return;
  const isStarted = (s.status & FEATURES_OK) !== 0 && (value & DRIVER_OK) !== 0;
  show(step, s.status | (value & ~(DRIVER_OK | SUSPEND)) | (isStarted ? DRIVER_OK : 0));
  if (!isStarted) return;
  if (s.queue === 'enabled') s.queue = 'live';
  takeAvailable(step);
}

function suspend(step: Step): void {
  const { s } = step;
  show(step, s.status | SUSPEND);
  if (step.is('drops what it has taken')) s.taken = '';
  s.suspendHeld = true;
  // The host has brought it to rest before.
  if (s.rest === 'quiet') show(step, s.status & ~DRIVER_OK);
  else finishHold(step);
}

export function reset(step: Step): void {
  const { s } = step;
  s.status = 0;
  closeQueue(s);
  s.queue = 'off';
  releaseSuspend(step);
  s.changeHeld = s.owesChange = s.untold = false;
  s.stale = true;
  show(step, 0);
  start(s);
}

// ---- What its back-end does ----

/** One buffer is done. */
export function answer(step: Step, at: number): void {
  const { s, settings } = step;
  const buffer = s.taken[at]!;
  const before = s.taken.slice(0, at);
  const after = s.taken.slice(at + 1);
  if (settings.order === 'any') {
    if (!step.is('uses a buffer twice')) s.taken = before + after;
    use(step, buffer);
  } else {
    const all = before + buffer.toUpperCase() + after;
    const done = /^[A-Z]*/.exec(all)![0];
    s.taken = all.slice(done.length);
    if (done !== '') use(step, done.toLowerCase());
  }
  finishHold(step);
}

/** A buffer of a life before is done: nothing of it reaches the driver. */
export function answerOrphan(step: Step): void {
  step.s.orphans--;
  finishHold(step);
  takeAvailable(step);
}

export function stopped(step: Step): void {
  const { s } = step;
  s.rest = 'quiet';
  if (s.suspendHeld) show(step, s.status & ~DRIVER_OK);
  if (s.pauseHeld) step.said.push('paused');
  start(s);
}

export function stopFailed(step: Step): void {
  const { s } = step;
  const wasSuspend = s.suspendHeld;
  refusePause(step);
  s.suspendHeld = false;
  if (wasSuspend) fail(step);
  s.rest = 'open';
  opened(step);
}

export function started(step: Step): void {
  const { s } = step;
  s.rest = step.is('does not run again') && showsRest(s.status) ? 'quiet' : 'open';
  if (s.rest === 'quiet') return;
  if (isHeld(s)) finishHold(step);
  else opened(step);
}

export function startFailed(step: Step): void {
  const { s } = step;
  refusePause(step);
  s.suspendHeld = false;
  s.rest = 'quiet';
  fail(step);
}

/** What is in processing takes too long for a suspend. */
export function suspendTakesTooLong(step: Step): void {
  step.s.suspendHeld = false;
  fail(step);
  letGo(step);
}

export function fail(step: Step): void {
  const { s } = step;
  if (needsReset(s.status)) {
    if (s.owesChange) tellChange(step);
    return;
  }
  closeQueue(s);
  if (s.queue === 'live') s.queue = 'enabled';
  show(step, (isSuspending(s) ? s.status & ~SUSPEND : s.status) | DEVICE_NEEDS_RESET);
  if (!step.is('keeps its failure to itself')) tellChange(step);
  // One that failed at rest stays there until its reset.
  if (!isHeldAtRest(s)) releaseSuspend(step);
}

// ---- What its host does ----

export function pause(step: Step): void {
  const { s } = step;
  s.pauseHeld = true;
  if (s.rest === 'quiet') step.said.push('paused');
  else finishHold(step);
}

export function goOn(step: Step): void {
  if (isHeldAtRest(step.s)) step.s.pauseHeld = false;
  else refusePause(step);
  letGo(step);
}

/** A device of another process goes on with what this one saves: it has no back-end that rests because of a failure. */
export function move(step: Step): void {
  const { s } = step;
  if (!needsReset(s.status)) return;
  s.suspendHeld = false;
  s.rest = s.pauseHeld ? 'quiet' : 'open';
}

// ---- Within it ----

/** Nothing is in processing any more, and somebody waits for that: the back-end is brought to rest. */
function finishHold(step: Step): void {
  const { s } = step;
  if (s.rest !== 'open' || !isHeld(s)) return;
  const isBusy = (s.taken !== '' && !step.is('rests with a buffer in processing')) || s.orphans > 0;
  if (isBusy) return;
  if (!step.is('defers its interrupts')) tellUsed(step);
  s.rest = 'stopping';
}

function releaseSuspend(step: Step): void {
  if (!step.s.suspendHeld) return;
  step.s.suspendHeld = false;
  letGo(step);
}

function refusePause(step: Step): void {
  if (step.s.pauseHeld) step.said.push('pause refused');
  step.s.pauseHeld = false;
}

function letGo(step: Step): void {
  const { s } = step;
  if (isHeld(s)) return;
  if (s.rest === 'open') opened(step);
  else start(s);
}

function start(s: State): void {
  if (s.rest === 'quiet' && !isHeld(s)) s.rest = 'starting';
}

/** Nobody holds it any more and its back-end works. */
function opened(step: Step): void {
  const { s } = step;
  if (showsRest(s.status) && !needsReset(s.status)) show(step, (s.status & ~SUSPEND) | DRIVER_OK);
  settleChange(step);
  if (!step.is('nobody looks after a resume')) takeAvailable(step);
}
