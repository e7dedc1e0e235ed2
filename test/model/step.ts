import type { Fault } from './faults.ts';
import type { Settings, State, Wish } from './state.ts';

/** What a device does: `status 1b` is shown, buffers are taken from its queue, if there are any, and used. */
export type DeviceSaid =
  | `status ${string}`
  | `take ${string}`
  | `use ${string}`
  | 'interrupt used'
  | 'interrupt config'
  | 'paused'
  | 'pause refused';

/**
 * What a driver does: `write 1f` to the status; `features` are written; `collect`: it looks at its used ring. `seen a`, `lost a`:
 * what became of a request.
 */
export type DriverSaid =
  | `write ${string}`
  | 'features'
  | 'new rings'
  | 'enable'
  | 'reset queue'
  | `expose ${string}`
  | 'kick'
  | 'collect'
  | `seen ${string}`
  | `lost ${string}`
  | 'read config';

/** What happened within a step, in its order; buffers are named as in the state before it. */
export type Said = DeviceSaid | DriverSaid;

/** One step of the model: the state, which it changes, and what is said on the way. */
export class Step {
  readonly s: State;
  readonly settings: Settings;
  readonly said: Said[] = [];
  readonly #fault: Fault | undefined;

  constructor(before: State, settings: Settings, fault: Fault | undefined) {
    this.s = { ...before };
    this.settings = settings;
    this.#fault = fault;
  }

  /** The planted fault is this one. */
  is(fault: Fault): boolean {
    return this.#fault === fault;
  }

  /** What an end wants whose rings are new. */
  get firstWish(): Wish {
    return this.settings.notify === 'split event index' ? 'next' : 'each';
  }

  /** What an end wants that has just asked. */
  get askedWish(): Wish {
    return this.settings.notify === 'always' ? 'each' : 'next';
  }
}

/** What is left of a wish when a buffer has come. */
export function afterOne(wish: Wish): Wish {
  return wish === 'each' ? 'each' : 'none';
}
