import { Status } from '../../src/spec/status.ts';
import { readConfig } from './device-config.ts';
import { enableQueue, resetQueue, writeStatus } from './device-end.ts';
import { needsReset, showsRest } from './shown.ts';
import { freeBuffer, type State } from './state.ts';
import { afterOne, type Step } from './step.ts';

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, SUSPEND, FAILED } = Status;

/** What the driver's application may ask for; requests are refused at any other time. */
export function takesRequests({ phase }: State): boolean {
  return phase === 'running' || phase === 'resetting a queue';
}

/** It has written something and waits for what a read of the status will tell. */
export function waits({ phase }: State): boolean {
  return phase === 'suspending' || phase === 'resuming' || phase === 'resetting a queue' || phase.startsWith('wrote');
}

// ---- What its application asks for ----

export function submit(step: Step): void {
  const { s, settings } = step;
  s.offered += freeBuffer(s, settings)!;
  if (s.phase === 'running' && expose(step)) kick(step);
}

/** A request that was not exposed when the driver began to suspend its device: it waits for the resume. */
export function submitAndSuspend(step: Step): void {
  const { s, settings } = step;
  s.offered += freeBuffer(s, settings)!;
  suspend(step);
  if (step.is('exposes after SUSPEND')) expose(step);
}

export function suspend(step: Step): void {
  ask(step, SUSPEND, 'suspending');
}

export function resume(step: Step): void {
  ask(step, DRIVER_OK, 'resuming');
  if (step.is('does not wait for the resume') && step.s.phase === 'resuming') step.s.phase = 'running';
}

export function resetOneQueue(step: Step): void {
  step.s.phase = 'resetting a queue';
  resetQueue(step);
}

export function initialize(step: Step): void {
  step.s.phase = 'wrote 00';
  writeStatus(step, 0);
}

// ---- What it hears and sees ----

export function usedInterrupt(step: Step): void {
  const { phase } = step.s;
  step.s.usedInterrupt = false;
  if (phase === 'running' || phase === 'resetting a queue' || phase === 'suspending' || phase === 'resuming') {
    collect(step);
  }
}

export function configInterrupt(step: Step): void {
  const { s } = step;
  s.configInterrupt = false;
  if (s.phase !== 'running' && s.phase !== 'resetting a queue') return;
  if (isLost(s.status)) giveUp(step);
  else readConfig(step);
}

/** A read of the status, and what follows from it up to the next read that it waits for. */
export function look(step: Step): void {
  const { s } = step;
  if (s.phase.startsWith('wrote')) lookWhileInitializing(step);
  else if (isLost(s.status)) giveUp(step);
  else if (s.phase === 'suspending') {
    const isThere = step.is('looks at SUSPEND alone') ? (s.status & SUSPEND) !== 0 : showsRest(s.status);
    if (isThere) {
      s.phase = 'suspended';
      collect(step);
    }
  } else if (s.phase === 'resuming') {
    if ((s.status & (SUSPEND | DRIVER_OK)) === DRIVER_OK) running(step);
  } else queueIsReset(step);
}

/** A device that has failed over its reset does not show 0. Requests stay out until another reset ends. */
export function giveUpReset(step: Step): void {
  step.s.phase = 'stuck';
}

/** Its patience ends: the device has not done yet what it was asked for. */
export function giveUpWaiting(step: Step): void {
  writeStatus(step, step.s.status | FAILED);
  giveUp(step);
}

/** The device has neither failed nor done what the driver waits for. */
export function waitsInVain(s: State): boolean {
  if (isLost(s.status)) return false;
  if (s.phase === 'suspending') return !showsRest(s.status);
  return s.phase === 'resuming' && (s.status & (SUSPEND | DRIVER_OK)) !== DRIVER_OK;
}

// ---- Within it ----

/** A status that ends every wait: reset behind the driver, failed, or given up. */
function isLost(status: number): boolean {
  return status === 0 || needsReset(status) || (status & FAILED) !== 0;
}

function lookWhileInitializing(step: Step): void {
  const { s } = step;
  if (s.phase === 'wrote 00') {
    if (s.status !== 0) return;
    loseAll(step);
    write(step, ACKNOWLEDGE, 'wrote 01');
  } else if (isRefused(s)) {
    s.phase = 'failed';
    writeStatus(step, s.status | FAILED);
  } else if (s.phase === 'wrote 01') {
    write(step, DRIVER, 'wrote 03');
    step.said.push('features');
  } else if (s.phase === 'wrote 03') write(step, FEATURES_OK, 'wrote 0b');
  else if (s.phase === 'wrote 0b') {
    newRings(step);
    enableQueue(step);
    write(step, DRIVER_OK, 'wrote 0f');
  } else {
    s.phase = 'running';
    readConfig(step);
  }
}

/** The status says that the initialisation cannot go on. */
function isRefused({ phase, status }: State): boolean {
  if (phase === 'wrote 03') return false;
  return phase === 'wrote 0b' ? (status & FEATURES_OK) === 0 : isLost(status);
}

function write(step: Step, bits: number, phase: State['phase']): void {
  step.s.phase = phase;
  writeStatus(step, step.s.status | bits);
}

/** Reads the status and writes it with one bit more, once. */
function ask(step: Step, bit: number, phase: 'suspending' | 'resuming'): void {
  if (isLost(step.s.status)) giveUp(step);
  else write(step, bit, phase);
}

function running(step: Step): void {
  const { s } = step;
  s.phase = 'running';
  collect(step);
  letGo(step);
  if (!step.is('does not read the configuration again')) readConfig(step);
}

function queueIsReset(step: Step): void {
  const { s } = step;
  collect(step);
  lose(step, s.out);
  s.out = '';
  newRings(step);
  enableQueue(step);
  s.phase = 'running';
  letGo(step);
}

/** Held back requests go out, and a queue that holds any is kicked, whether or not the device asked for it. */
function letGo(step: Step): void {
  expose(step);
  if (step.s.out !== '' && !step.is('nobody looks after a resume')) kick(step);
}

/** Whether the device wants a kick for it. */
function expose(step: Step): boolean {
  const { s } = step;
  if (s.offered === '') return false;
  step.said.push(`expose ${s.offered}`);
  if (s.queue === 'live') s.available += s.offered;
  s.out += s.offered;
  s.offered = '';
  const isWanted = s.deviceWants !== 'none';
  s.deviceWants = afterOne(s.deviceWants);
  return isWanted;
}

function kick(step: Step): void {
  step.s.kick = true;
  step.said.push('kick');
}

function collect(step: Step): void {
  const { s } = step;
  step.said.push('collect');
  for (const buffer of s.used) {
    s.out = s.out.replace(buffer, '');
    step.said.push(`seen ${buffer}`);
  }
  s.used = '';
  s.driverWants = step.askedWish;
}

function newRings(step: Step): void {
  const { s } = step;
  step.said.push('new rings');
  s.available = s.used = '';
  s.deviceWants = s.driverWants = step.firstWish;
}

/** The device is of no use any more: it is reset, and every request is lost. */
function giveUp(step: Step): void {
  writeStatus(step, 0);
  step.s.phase = 'failed';
  loseAll(step);
}

function loseAll(step: Step): void {
  const { s } = step;
  lose(step, s.out + s.offered);
  s.out = s.offered = '';
  newRings(step);
}

function lose(step: Step, buffers: string): void {
  for (const buffer of buffers) step.said.push(`lost ${buffer}`);
}
