import { ACTIONS, type Action } from './actions.ts';
import type { Fault } from './faults.ts';
import { broken, type InvariantName } from './invariants.ts';
import { canonical, first, keyOf, type Settings, type State } from './state.ts';
import { type Said, Step } from './step.ts';
import { deadEnd, roundabout } from './ways.ts';

/** What one step comes to. */
export interface Stepped {
  readonly to: State;
  readonly said: readonly Said[];
}

/** How an invariant is broken: the shortest way there. */
export interface Violation {
  readonly invariant: InvariantName;
  readonly path: readonly string[];
}

export interface ExploreOptions {
  readonly fault?: Fault;
  /** Ends with the states as far away as the first violation; otherwise all others are looked at as well. */
  readonly until?: 'first violation';
  /** No path of more steps is looked at. Whether every state has a way on is not known then. */
  readonly depth?: number;
}

/** An edge of the graph, by the numbers of its states and of its action. */
export interface Edge {
  readonly from: number;
  readonly action: number;
  readonly to: number;
}

/** The states that can be reached, in the order of their distance from the first one. */
export class Graph {
  readonly settings: Settings;
  readonly states: State[] = [];
  /** How many steps it takes at least. */
  readonly depths: number[] = [];
  readonly edges: Edge[] = [];
  readonly violations: Map<InvariantName, Violation> = new Map();
  readonly #numbers = new Map<number, number>();
  /** The edge over which a state was found. */
  readonly #parents: (Edge | undefined)[] = [];

  constructor(settings: Settings) {
    this.settings = settings;
  }

  get depth(): number {
    return this.depths.at(-1)!;
  }

  /** Where all begins. */
  begin(state: State): void {
    this.#numbers.set(keyOf(state), 0);
    this.states.push(state);
    this.#parents.push(undefined);
    this.depths.push(0);
  }

  /** An action leads from one state to another, which may be known already. */
  add(from: number, action: number, state: State): void {
    const key = keyOf(state);
    const known = this.#numbers.get(key);
    const to = known ?? this.states.length;
    const edge = { from, action, to };
    this.edges.push(edge);
    if (known !== undefined) return;
    this.#numbers.set(key, to);
    this.states.push(state);
    this.#parents.push(edge);
    this.depths.push(this.depths[from]! + 1);
  }

  /** The names of the actions that lead to a state, as few as there can be. */
  pathTo(number: number): string[] {
    const path: string[] = [];
    for (let edge = this.#parents[number]; edge !== undefined; edge = this.#parents[edge.from])
      path.unshift(ACTIONS[edge.action]!.name);
    return path;
  }

  report(invariant: InvariantName, path: readonly string[]): void {
    if (!this.violations.has(invariant)) this.violations.set(invariant, { invariant, path });
  }
}

/** What an action does to a state, which it leaves as it is. */
export function take(state: State, action: Action, settings: Settings, fault?: Fault): Stepped {
  const step = new Step(state, settings, fault);
  action.run(step);
  return { to: canonical(step.s), said: step.said };
}

/** Breadth first, until there is nothing new. What breaks an invariant is reported and not followed any further. */
export function explore(settings: Settings, { fault, until, depth }: ExploreOptions = {}): Graph {
  const graph = new Graph(settings);
  graph.begin(first());
  let last = depth === undefined ? Number.POSITIVE_INFINITY : depth - 1;
  for (let from = 0; from < graph.states.length && graph.depths[from]! <= last; from++) {
    const state = graph.states[from]!;
    for (const [number, action] of ACTIONS.entries()) {
      if (!action.may(state, settings)) continue;
      const { to, said } = take(state, action, settings, fault);
      const name = broken({ from: state, to, said });
      if (name === undefined) graph.add(from, number, to);
      else {
        graph.report(name, [...graph.pathTo(from), action.name]);
        if (until !== undefined) last = Math.min(last, graph.depths[from]!);
      }
    }
  }
  if (graph.violations.size === 0 && depth === undefined) lookAtWays(graph);
  return graph;
}

function lookAtWays(graph: Graph): void {
  const dead = deadEnd(graph);
  if (dead !== undefined) graph.report('every state has a way on', graph.pathTo(dead));
  const circle = roundabout(graph);
  if (circle === undefined) return;
  const [start] = circle;
  const names = circle.map(({ action }) => ACTIONS[action]!.name);
  graph.report('no way on goes round in a circle', [...graph.pathTo(start!.from), ...names]);
}
