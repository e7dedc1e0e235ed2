import { Status } from '../../src/spec/status.ts';
import { changeConfig } from './device-config.ts';
import * as device from './device-end.ts';
import { takeAvailable, tellUsed } from './device-queue.ts';
import * as driver from './driver-end.ts';
import { isHeldAtRest, needsReset } from './shown.ts';
import { freeBuffer, type Settings, type State } from './state.ts';
import type { Step } from './step.ts';

/** Something that one of all those around does next. */
export interface Action {
  readonly name: string;
  /** `on`: it comes by itself, sooner or later, when nobody asks for anything new and nothing breaks. */
  readonly kind: 'on' | 'new' | 'broken';
  may(s: State, settings: Settings): boolean;
  /** The same where it makes no difference to the model, but might to code. */
  mayInCode?(s: State): boolean;
  run(step: Step): void;
}

const hasRoom = (s: State, settings: Settings): boolean => freeBuffer(s, settings) !== undefined;

/** The application of the driver. */
const APPLICATION = [
  {
    name: 'submit',
    kind: 'new',
    may: (s, settings) => driver.takesRequests(s) && hasRoom(s, settings),
    run: driver.submit,
  },
  { name: 'suspend', kind: 'new', may: (s) => s.phase === 'running', run: driver.suspend },
  {
    name: 'submit and suspend',
    kind: 'new',
    may: (s, settings) => s.phase === 'running' && hasRoom(s, settings),
    run: driver.submitAndSuspend,
  },
  { name: 'resume', kind: 'on', may: (s) => s.phase === 'suspended', run: driver.resume },
  { name: 'reset the queue', kind: 'new', may: (s) => s.phase === 'running', run: driver.resetOneQueue },
  {
    name: 'initialize',
    kind: 'new',
    may: (s) => !s.phase.startsWith('wrote'),
    run: driver.initialize,
  },
  {
    name: 'initialize what is lost',
    kind: 'on',
    may: (s) => s.phase === 'failed' || s.phase === 'stuck' || isLostUnseen(s),
    run: driver.initialize,
  },
] as const satisfies readonly Action[];

/** What is under way arrives; the driver looks at the status. */
const ARRIVALS = [
  {
    name: 'the kick arrives',
    kind: 'on',
    may: (s) => s.kick,
    run: (step) => {
      step.s.kick = false;
      takeAvailable(step);
    },
  },
  { name: 'the used buffer interrupt arrives', kind: 'on', may: (s) => s.usedInterrupt, run: driver.usedInterrupt },
  { name: 'the change interrupt arrives', kind: 'on', may: (s) => s.configInterrupt, run: driver.configInterrupt },
  { name: 'the driver looks', kind: 'on', may: driver.waits, run: driver.look },
  {
    name: 'the driver does not wait for the reset any longer',
    kind: 'on',
    may: (s) => s.phase === 'wrote 00' && s.status !== 0,
    run: driver.giveUpReset,
  },
  { name: 'the driver gives up waiting', kind: 'broken', may: driver.waitsInVain, run: driver.giveUpWaiting },
] as const satisfies readonly Action[];

/** The back-end of the device. */
const BACK_END = [
  answerAction(0),
  answerAction(1),
  answerAction(2),
  { name: 'answer an old buffer', kind: 'on', may: (s) => s.orphans > 0, run: device.answerOrphan },
  { name: 'tell of used buffers', kind: 'on', may: (s) => s.owesUsed, run: tellUsed },
  { name: 'it has stopped', kind: 'on', may: (s) => s.rest === 'stopping', run: device.stopped },
  { name: 'it does not stop', kind: 'broken', may: (s) => s.rest === 'stopping', run: device.stopFailed },
  { name: 'it has started', kind: 'on', may: (s) => s.rest === 'starting', run: device.started },
  { name: 'it does not start', kind: 'broken', may: (s) => s.rest === 'starting', run: device.startFailed },
  {
    name: 'the suspend takes too long',
    kind: 'broken',
    may: (s) => s.suspendHeld && s.rest !== 'quiet',
    run: device.suspendTakesTooLong,
  },
  { name: 'the configuration changes', kind: 'new', may: () => true, run: changeConfig },
  {
    name: 'the device fails',
    kind: 'broken',
    may: (s) => s.status !== 0 && !needsReset(s.status),
    run: device.fail,
  },
] as const satisfies readonly Action[];

const HOST = [
  { name: 'pause', kind: 'new', may: (s) => !s.pauseHeld, run: device.pause },
  { name: 'continue', kind: 'on', may: (s) => s.pauseHeld, run: device.goOn },
  { name: 'move to another device', kind: 'new', may: isHeldAtRest, run: device.move },
  { name: 'reset by the host', kind: 'broken', may: (s) => s.status !== 0, run: device.reset },
] as const satisfies readonly Action[];

export const ACTIONS: readonly Action[] = [...APPLICATION, ...ARRIVALS, ...BACK_END, ...HOST];

function answerAction<At extends number>(at: At): Action & { readonly name: `answer ${At}` } {
  return {
    name: `answer ${at}`,
    kind: 'on',
    // Which of several is done first makes a difference only where they are used in order.
    may: (s, { order }) => isInProcessing(s, at) && (at === 0 || order === 'in order'),
    mayInCode: (s) => isInProcessing(s, at),
    run: (step) => device.answer(step, at),
  };
}

function isInProcessing({ taken }: State, at: number): boolean {
  return at < taken.length && taken[at]! >= 'a';
}

/** The driver takes a device for running that was reset, or failed, without a word. */
function isLostUnseen({ phase, status, configInterrupt, owesChange }: State): boolean {
  if (phase !== 'running' && phase !== 'resetting a queue') return false;
  const isRunning = (status & (Status.DRIVER_OK | Status.FEATURES_OK)) !== 0 && !needsReset(status);
  return !isRunning && !configInterrupt && !owesChange;
}

export function actionNamed(name: string): Action {
  const action = ACTIONS.find((one) => one.name === name);
  if (action === undefined) throw new Error(`there is no action "${name}"`);
  return action;
}
