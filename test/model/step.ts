import type { Fault } from './faults.ts';
import type { Settings, State, Wish } from './state.ts';

/**
 * What happened within a step, in its order. `status 1b`: the device shows it. `queue`: the device touches its queue, `expose`:
 * the driver makes buffers available. `seen`, `lost`: what became of a request.
 */
export type Said =
  | `status ${string}`
  | 'queue'
  | 'interrupt used'
  | 'interrupt config'
  | 'expose'
  | 'kick'
  | 'seen'
  | 'lost'
  | 'paused'
  | 'pause refused';

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
