import type { Clock } from '../device/clock.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import { describeStatus, Status } from '../spec/status.ts';
import type { AbortSignalLike } from './abort-signal.ts';
import type { DriverTransport, Later } from './transport.ts';

/** Why a wait for a status ended without it. */
export type StatusFault = 'needsReset' | 'failed' | 'lost' | 'gone' | 'limit' | 'aborted';

export class StatusWaitError extends Error {
  readonly fault: StatusFault;

  constructor(fault: StatusFault, cause: Error) {
    super(cause.message, { cause });
    this.name = 'StatusWaitError';
    this.fault = fault;
  }
}

export interface StatusWait {
  /** What is waited for, in messages: "suspend". */
  readonly what: string;
  /** Asked after each read of a status that shows no fault. */
  reached(status: number): Later<boolean>;
  readonly limitMs: number;
  readonly signal?: AbortSignalLike | undefined;
  /** Asked after each answer of the device; throws when nobody waits for this any more. */
  check?(): void;
}

const FIRST_PAUSE_MS = 0.1;
const LONGEST_PAUSE_MS = 20;

/**
 * Reads the status until it is as wanted, and nothing else: a second write of 0x1f would undo what the first one asked
 * for. Looks at single bits, never at the whole byte, for a device may show any pair of SUSPEND and DRIVER_OK meanwhile.
 *
 * Rejects with StatusWaitError on DEVICE_NEEDS_RESET (which is polled for: a suspended device sends no interrupt),
 * FAILED, 0 (somebody reset the device), 0xff (it is gone), the limit, and an abort.
 */
export async function waitForStatus(transport: DriverTransport, clock: Clock, wait: StatusWait): Promise<void> {
  const end = clock.now() + wait.limitMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const status = await transport.readStatus();
    wait.check?.();
    const fault = faultOf(status, wait.what);
    if (fault !== undefined) throw fault;
    const reached = await wait.reached(status);
    wait.check?.();
    if (reached) return;
    if (wait.signal?.aborted === true) throw new StatusWaitError('aborted', asError(wait.signal.reason));
    if (clock.now() >= end) {
      throw new StatusWaitError(
        'limit',
        new StateError(
          `${wait.what}: the device did not do it within ${wait.limitMs} ms; its status is ${describeStatus(status)}`,
        ),
      );
    }
    await sleep(clock, Math.min(pauseMs, end - clock.now()), wait.signal);
  }
}

/** What is wrong with a device that shows `status`; undefined when nothing is. */
export function faultOf(status: number, what: string): StatusWaitError | undefined {
  const shows = `the device shows ${describeStatus(status)}`;
  if (status === 0xff)
    return new StatusWaitError('gone', new ProtocolError('status.device.gone', `${what}: the device is gone`));
  if (status === 0) {
    return new StatusWaitError(
      'lost',
      new ProtocolError('status.device.lost', `${what}: the device was reset behind its driver`),
    );
  }
  if ((status & Status.DEVICE_NEEDS_RESET) !== 0) {
    return new StatusWaitError(
      'needsReset',
      new ProtocolError('status.device.2', `${what}: the device needs a reset; ${shows}`),
    );
  }
  if ((status & Status.FAILED) !== 0) {
    return new StatusWaitError('failed', new StateError(`${what}: the device was given up; ${shows}`));
  }
  return undefined;
}

/** Both bits as after a suspend that is done. */
export function isSuspended(status: number): boolean {
  return (status & (Status.SUSPEND | Status.DRIVER_OK)) === Status.SUSPEND;
}

/** Both bits as after a resume that is done. */
export function isRunning(status: number): boolean {
  return (status & (Status.SUSPEND | Status.DRIVER_OK)) === Status.DRIVER_OK;
}

function sleep(clock: Clock, delayMs: number, signal: AbortSignalLike | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = clock.after(delayMs, wake);
    signal?.addEventListener('abort', wake);
  });
}

export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
