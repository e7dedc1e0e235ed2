import { StateError } from '../spec/fault.ts';
import type { Clock } from './clock.ts';

/**
 * Who can ask a device to be quiet: the driver by SUSPEND, the host by pause, and the transport for a moment, to change the
 * memory or to stop a single queue.
 */
export type QuietOwner = 'suspend' | 'pause' | 'transport';

/** What quieting needs of the device. */
export interface QuietHooks {
  /** Something is still in processing; quieting goes on when nothing is. */
  busy(): boolean;
  /** Brings the back-end to rest. */
  stop(): void | Promise<void>;
  /** Lets the back-end work again. */
  start(): void | Promise<void>;
  /** No owner is left and the back-end works: buffers may be taken. */
  opened(): void;
  /** The back-end did not start. */
  startFailed(error: Error): void;
}

/** What an owner is told, once: either of the two. */
export interface QuietWaiter {
  /** How long what is in processing may take to end. */
  readonly limitMs: number;
  reached(): void;
  /** The owner holds nothing any more. Called before buffers are taken again. */
  failed(error: Error): void;
}

interface Hold {
  /** Undefined when it was told. */
  waiter: QuietWaiter | undefined;
  readonly cancelLimit: (() => void) | undefined;
}

/**
 * The one engine that brings a device to rest, for SUSPEND and for pause alike, or a single queue of it: take no more buffers, let what is in
 * processing end, stop the back-end. The owners are separate; a device that both hold needs both to let go.
 *
 * All of it happens within the call where it can: nothing in processing and a back-end that stops at once.
 */
export class Quiet {
  readonly #hooks: QuietHooks;
  readonly #clock: Clock;
  readonly #owners = new Map<QuietOwner, Hold>();
  #phase: 'open' | 'draining' | 'stopping' | 'quiet' | 'starting' = 'open';

  constructor(hooks: QuietHooks, clock: Clock) {
    this.#hooks = hooks;
    this.#clock = clock;
  }

  /** Buffers may be taken. */
  get open(): boolean {
    return this.#phase === 'open';
  }

  /** At rest, and held there. */
  get reached(): boolean {
    return this.#phase === 'quiet' && this.#owners.size > 0;
  }

  held(owner: QuietOwner): boolean {
    return this.#owners.has(owner);
  }

  /** `waiter.reached` is called when the device is at rest, at once if it is. Throws StateError when the owner holds it already. */
  request(owner: QuietOwner, waiter: QuietWaiter): void {
    if (this.#owners.has(owner)) throw new StateError(`the device is already held by ${owner}`);
    if (this.#phase === 'quiet') {
      this.#owners.set(owner, TOLD);
      waiter.reached();
      return;
    }
    const cancelLimit = this.#clock.after(waiter.limitMs, () => this.#limit(owner, waiter));
    this.#owners.set(owner, { waiter, cancelLimit });
    if (this.#phase === 'open') this.#phase = 'draining';
    this.settle();
  }

  /** Comes to rest for the length of `action`, on behalf of the transport. Otherwise `failed` is called. */
  pass(limitMs: number, action: () => void, failed: (error: Error) => void): void {
    const reached = (): void => {
      action();
      this.release('transport');
    };
    this.request('transport', { limitMs, reached, failed });
  }

  /** Lets go, whether or not rest was reached. A waiter that was not told yet is told `reason`, if there is one. */
  release(owner: QuietOwner, reason?: Error): void {
    const hold = this.#owners.get(owner);
    if (hold === undefined) return;
    hold.cancelLimit?.();
    this.#owners.delete(owner);
    if (reason !== undefined) hold.waiter?.failed(reason);
    this.#letGo();
  }

  /** To be called whenever `busy` may have become false. */
  settle(): void {
    // Called for each request: what makes closures is a method of its own, or each call would allocate.
    if (this.#phase === 'draining' && !this.#hooks.busy()) this.#stop();
  }

  #stop(): void {
    this.#phase = 'stopping';
    run(
      () => this.#hooks.stop(),
      () => this.#stopped(),
      (error) => this.#stopFailed(error),
    );
  }

  /** Starts a back-end that rests with no owner left, as after a failed start. */
  restart(): void {
    if (this.#phase !== 'quiet' || this.#owners.size > 0) return;
    this.#phase = 'starting';
    run(
      () => this.#hooks.start(),
      () => this.#started(),
      (error) => {
        this.#phase = 'quiet';
        this.#failAll(error);
        this.#hooks.startFailed(error);
      },
    );
  }

  /** A device that was restored from a saved state is at rest from the start. */
  restore(owners: readonly QuietOwner[]): void {
    for (const owner of owners) this.#owners.set(owner, TOLD);
    if (owners.length > 0) this.#phase = 'quiet';
  }

  #stopped(): void {
    this.#phase = 'quiet';
    for (const owner of [...this.#owners.keys()]) {
      const hold = this.#owners.get(owner);
      if (hold?.waiter === undefined) continue;
      hold.cancelLimit?.();
      this.#owners.set(owner, TOLD);
      hold.waiter.reached();
    }
    this.restart();
  }

  #stopFailed(error: Error): void {
    this.#failAll(error);
    this.#phase = 'draining';
    this.#letGo();
  }

  /** Nobody gets what he waits for, nor holds anything any more. */
  #failAll(error: Error): void {
    const holds = [...this.#owners.values()];
    this.#owners.clear();
    for (const hold of holds) {
      hold.cancelLimit?.();
      hold.waiter?.failed(error);
    }
  }

  #limit(owner: QuietOwner, waiter: QuietWaiter): void {
    this.#owners.delete(owner);
    waiter.failed(new StateError(`${owner}: what is being processed did not end within ${waiter.limitMs} ms`));
    this.#letGo();
  }

  #letGo(): void {
    if (this.#owners.size > 0) return;
    if (this.#phase === 'draining') {
      this.#phase = 'open';
      this.#hooks.opened();
    } else this.restart();
  }

  #started(): void {
    if (this.#owners.size === 0) {
      this.#phase = 'open';
      this.#hooks.opened();
    } else {
      this.#phase = 'draining';
      this.settle();
    }
  }
}

// Stryker disable next-line ObjectLiteral: what is not there reads as undefined, too
const TOLD: Hold = { waiter: undefined, cancelLimit: undefined };

/** Calls `action` and goes on within this call if it can, else when its promise is settled. */
function run(action: () => void | Promise<void>, done: () => void, failed: (error: Error) => void): void {
  const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
  let result: void | Promise<void>;
  try {
    result = action();
  } catch (error) {
    failed(asError(error));
    return;
  }
  if (result === undefined) done();
  else result.then(done, (error: unknown) => failed(asError(error)));
}
