import { randomNumbers } from '../support/random-numbers.ts';
import { ACTIONS, type Action, actionNamed } from './actions.ts';
import { explore, type Graph } from './explore.ts';
import { type RingKind, ringKinds } from './ring-memory.ts';
import { canonical, first, keyOf, NOTIFY, type Settings, type State } from './state.ts';
import { Step } from './step.ts';

/** Real code that goes along a path of the model, and is compared with it after each step. */
export interface Walker {
  /** Where in the model it is. */
  readonly state: State;
  /** Rejects when the two differ. */
  take(action: Action): Promise<void>;
  /** The path goes no further. */
  end(): Promise<void>;
}

/** What is walked: the model so set, with one kind of ring. */
export interface Ground {
  readonly name: string;
  readonly settings: Settings;
  readonly kind: RingKind;
}

/** All kinds of rings, with two buffers. */
export function grounds(telling: Settings['telling']): readonly Ground[] {
  return NOTIFY.flatMap((notify) =>
    (['any', 'in order'] as const).flatMap((order) => {
      const settings = { buffers: 2, notify, order, telling };
      return ringKinds(settings).map((kind) => ({
        name: `${kind.format}, ${kind.eventIndex ? 'event index' : 'flags'}, order ${order}, telling ${telling}`,
        settings,
        kind,
      }));
    }),
  );
}

/** Where all paths are gone along from, the beginning and what it takes longer to come to; and how far. */
const STARTS: readonly { readonly names: readonly string[]; readonly depth: number }[] = [
  { names: [], depth: 5 },
  { names: running(), depth: 3 },
  { names: [...running(), 'submit and suspend', 'it has stopped', 'the driver looks'], depth: 3 },
  // Reset with a buffer in processing, which is not back.
  { names: [...running(), 'submit', 'the kick arrives', 'initialize', ...running()], depth: 3 },
];

/** All paths from each start; with `deeper`, of so many steps more. */
export async function goEverywhere(
  { settings }: Ground,
  deeper: number,
  make: () => Walker,
  walked: Walked = new Walked(),
): Promise<Walked> {
  for (const { names, depth } of STARTS)
    for (const path of allPaths(settings, names.map(actionNamed), depth + deeper)) await walked.along(make(), path);
  return walked;
}

/** States so far away are drawn from, and from each so many steps. */
const DRAWN_DEPTH = 12;
const DRAWN_STEPS = 80;

/**
 * Long paths: to a state that is drawn, and on by steps that are drawn. `make` gets the settings, with three buffers: those are
 * in the ring together now and then.
 */
export async function goFar(
  ground: Ground,
  { seed, numRuns }: { readonly seed: number; readonly numRuns: number },
  make: (settings: Settings) => Walker,
): Promise<Walked> {
  const settings = { ...ground.settings, buffers: 3 };
  const graph = nearGraph(ground.settings);
  const walked = new Walked();
  const below = randomNumbers(seed);
  for (let n = 0; n < numRuns; n++) {
    const walker = make(settings);
    const there = graph.pathTo(below(graph.states.length)).map(actionNamed);
    await walked.along(walker, concatenated(there, walked.draw(walker, settings, DRAWN_STEPS, below)));
  }
  return walked;
}

/** What was gone along, and what of the model that is. */
export class Walked {
  paths = 0;
  steps = 0;
  /** How often each action was taken in each state. */
  readonly #taken = new Map<number, Map<Action, number>>();

  /** Goes along one path; rejects with the whole of it when code and model differ. */
  async along(walker: Walker, actions: Iterable<Action>): Promise<void> {
    const names: string[] = [];
    this.paths++;
    try {
      for (const action of actions) {
        names.push(action.name);
        this.steps++;
        const counts = this.#countsOf(walker.state);
        counts.set(action, (counts.get(action) ?? 0) + 1);
        await walker.take(action);
      }
      await walker.end();
    } catch (error) {
      throw new Error(`${names.join(', ')}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Goes on by what was taken least in each state, as `below` draws it. What is rare in life is rare here. */
  *draw(walker: Walker, settings: Settings, steps: number, below: (bound: number) => number): Generator<Action> {
    for (let n = 0; n < steps; n++) {
      const counts = this.#countsOf(walker.state);
      const scores = actionsFrom(walker.state, settings).map((action) => ({
        action,
        score: ((counts.get(action) ?? 0) + 1) / weightOf(action),
      }));
      const least = Math.min(...scores.map(({ score }) => score));
      const best = scores.filter(({ score }) => score === least);
      if (best.length === 0) return;
      yield best[below(best.length)]!.action;
    }
  }

  /** Different ones. */
  get transitions(): number {
    return [...this.#taken.values()].reduce((sum, { size }) => sum + size, 0);
  }

  toString(): string {
    const { paths, steps, transitions } = this;
    return `${paths} paths, ${steps} steps, ${transitions} transitions of ${this.#taken.size} states`;
  }

  #countsOf(state: State): Map<Action, number> {
    const key = keyOf(canonical({ ...state }));
    const known = this.#taken.get(key);
    if (known !== undefined) return known;
    const counts = new Map<Action, number>();
    this.#taken.set(key, counts);
    return counts;
  }
}

/** Each sequence of `depth` actions after `start`, or of fewer where nothing can come any more. */
function* allPaths(settings: Settings, start: readonly Action[], depth: number): Generator<readonly Action[]> {
  let state = first();
  for (const action of start) state = after(state, action, settings);
  yield* continued(settings, state, [...start], depth);
}

const GRAPHS = new Map<string, Graph>();

function nearGraph(settings: Settings): Graph {
  const key = JSON.stringify(settings);
  const graph = GRAPHS.get(key) ?? explore(settings, { depth: DRAWN_DEPTH });
  GRAPHS.set(key, graph);
  return graph;
}

function* concatenated(first: Iterable<Action>, second: Iterable<Action>): Generator<Action> {
  yield* first;
  yield* second;
}

function* continued(settings: Settings, state: State, path: Action[], depth: number): Generator<readonly Action[]> {
  const actions = depth === 0 ? [] : actionsFrom(state, settings);
  if (actions.length === 0) yield path;
  for (const action of actions) {
    path.push(action);
    yield* continued(settings, after(state, action, settings), path, depth - 1);
    path.pop();
  }
}

/** The letters of buffers stay as they are. */
function after(state: State, action: Action, settings: Settings): State {
  const step = new Step(state, settings, undefined);
  action.run(step);
  return step.s;
}

function actionsFrom(state: State, settings: Settings): Action[] {
  return ACTIONS.filter((action) => (action.mayInCode ?? action.may)(state, settings));
}

/** No smaller than 1. */
function weightOf({ kind, name }: Action): number {
  if (kind === 'broken' || name === 'initialize') return 1;
  return kind === 'on' ? 6 : 4;
}

function running(): string[] {
  return Array.from({ length: 5 }, () => 'the driver looks');
}
