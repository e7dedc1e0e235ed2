import { Status } from '../../src/spec/status.ts';
import { needsReset, showsRest, showsRunning } from './shown.ts';
import type { State } from './state.ts';
import type { Said } from './step.ts';

/** What a step led from and to, and what was said on the way. */
export interface Transition {
  readonly from: State;
  readonly to: State;
  readonly said: readonly Said[];
}

/** What has to hold for every step; the text says what is wrong, undefined when nothing is. */
const SAFETY = {
  'no buffer is lost': ({ to }: Transition): boolean => {
    if (to.queue !== 'live' || !exchanges(to)) return true;
    const known = to.available + to.taken.toLowerCase() + to.used;
    return [...to.out].every((buffer) => known.includes(buffer));
  },

  'no buffer is used twice': ({ to }: Transition): boolean => {
    const places = to.offered + to.available + to.taken.toLowerCase() + to.used;
    for (let n = 1; n < places.length; n++) if (places.indexOf(places[n]!) < n) return false;
    for (const buffer of to.used) if (!to.out.includes(buffer)) return false;
    return true;
  },

  'at rest nothing is in processing': ({ to }: Transition): boolean =>
    !showsRest(to.status) || (to.taken === '' && to.orphans === 0) || needsReset(to.status),

  'at rest no notification is owed': ({ to }: Transition): boolean => !showsRest(to.status) || !to.owesUsed,

  'at rest no queue is touched': (transition: Transition): boolean =>
    shownAt(transition, 'take', 'use').every((status) => !showsRest(status)),

  'at rest nobody is interrupted': (transition: Transition): boolean =>
    shownAt(transition, 'interrupt').every((status) => !showsRest(status)),

  'a held change is told': ({ to }: Transition): boolean => {
    const isFree = showsRunning(to.status) && to.rest === 'open' && !to.pauseHeld;
    return !isFree || !(to.changeHeld || to.owesChange || to.untold);
  },

  'a failure is told to a driver that runs': ({ to }: Transition): boolean =>
    to.phase !== 'running' || !needsReset(to.status) || !isLive(to) || to.configInterrupt || to.owesChange,

  'nothing new is taken before old buffers are back': ({ to }: Transition): boolean =>
    to.taken === '' || to.orphans === 0,

  'the driver is still from SUSPEND to the end of the resume': (transition: Transition): boolean => {
    if (shownAt(transition, 'expose', 'kick').some((status) => (status & Status.SUSPEND) !== 0)) return false;
    const { from, to, said } = transition;
    return !isBetween(from) || !isBetween(to) || !said.some((word) => isOf(word, 'expose') || isOf(word, 'kick'));
  },

  'the driver does not believe what the device is not': ({ to }: Transition): boolean => {
    if (to.phase === 'suspended') return (to.status & Status.DRIVER_OK) === 0;
    return to.phase !== 'running' || (to.status & Status.SUSPEND) === 0;
  },

  'a driver that runs comes to know the configuration': ({ to }: Transition): boolean =>
    to.phase !== 'running' || !showsRunning(to.status) || !to.stale || to.configInterrupt,
} as const;

export type SafetyName = keyof typeof SAFETY;

/** What has to hold for the ways that lead on; see `ways.ts`. */
export type WayName = 'every state has a way on' | 'no way on goes round in a circle';

export type InvariantName = SafetyName | WayName;

export const SAFETY_NAMES = Object.keys(SAFETY) as readonly SafetyName[];

/** The first invariant that a step breaks. */
export function broken(transition: Transition): SafetyName | undefined {
  for (const name of SAFETY_NAMES) if (!SAFETY[name](transition)) return name;
  return undefined;
}

/** Both ends mean the same queue: neither is about to lose it. */
function exchanges({ phase, status }: State): boolean {
  if (status === 0 || needsReset(status)) return false;
  return phase === 'running' || phase === 'suspending' || phase === 'suspended' || phase === 'resuming';
}

/** A device that has to notify its driver. */
function isLive({ status }: State): boolean {
  return (status & Status.DRIVER_OK) !== 0;
}

function isBetween({ phase }: State): boolean {
  return phase === 'suspending' || phase === 'suspended' || phase === 'resuming';
}

/** Its first word. */
type Kind<Word extends string> = Word extends `${infer First} ${string}` ? First : Word;

function isOf(word: Said, kind: Kind<Said>): boolean {
  return word.startsWith(kind);
}

/** The status that was shown each time one of these was said. */
function shownAt({ from, said }: Transition, ...kinds: readonly Kind<Said>[]): number[] {
  let shown = from.status;
  const seen: number[] = [];
  for (const word of said) {
    if (isOf(word, 'status')) shown = Number.parseInt(word.slice('status '.length), 16);
    else if (kinds.some((kind) => isOf(word, kind))) seen.push(shown);
  }
  return seen;
}
