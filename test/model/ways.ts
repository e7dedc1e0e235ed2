import { ACTIONS } from './actions.ts';
import type { Edge, Graph } from './explore.ts';
import { showsRunning } from './shown.ts';
import type { State } from './state.ts';

/**
 * Left alone, with nothing new asked for and nothing that breaks, every state comes to this one: both ends run, every buffer is
 * back, nothing is under way, and the driver knows the configuration.
 */
function isSettled(s: State): boolean {
  return (
    s.phase === 'running' &&
    showsRunning(s.status) &&
    s.rest === 'open' &&
    !s.pauseHeld &&
    s.offered === '' &&
    s.out === '' &&
    s.orphans === 0 &&
    !s.stale
  );
}

/** The steps that come by themselves, for each state. A driver that looks in vain waits, and does nothing. */
function waysOn(graph: Graph): Edge[][] {
  const ways: Edge[][] = graph.states.map(() => []);
  for (const edge of graph.edges) {
    const { kind, name } = ACTIONS[edge.action]!;
    if (kind !== 'on' || (edge.to === edge.from && name === 'the driver looks')) continue;
    ways[edge.from]!.push(edge);
  }
  return ways;
}

/** A state in which nothing happens any more, and which is not as it should end. */
export function deadEnd(graph: Graph): number | undefined {
  const ways = waysOn(graph);
  const at = graph.states.findIndex((state, number) => ways[number]!.length === 0 && !isSettled(state));
  return at < 0 ? undefined : at;
}

/** Steps that come by themselves, from a state back to itself. Where there are none, every way on has an end. */
export function roundabout(graph: Graph): readonly Edge[] | undefined {
  const ways = waysOn(graph);
  const remaining = leftOver(graph, ways);
  const start = remaining.indexOf(true);
  if (start < 0) return undefined;
  const passed: Edge[] = [];
  const at = new Map<number, number>();
  for (let number = start; ; ) {
    const before = at.get(number);
    if (before !== undefined) return passed.slice(before);
    at.set(number, passed.length);
    const edge = ways[number]!.find(({ to }) => remaining[to])!;
    passed.push(edge);
    number = edge.to;
  }
}

/** The states from which a circle can be reached: what is left when those without a way on are taken away, again and again. */
function leftOver(graph: Graph, ways: readonly (readonly Edge[])[]): boolean[] {
  const left = graph.states.map(() => true);
  const count = ways.map(({ length }) => length);
  const back: number[][] = graph.states.map(() => []);
  for (const edges of ways) for (const { from, to } of edges) back[to]!.push(from);
  const ends = count.flatMap((length, number) => (length === 0 ? [number] : []));
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
    left[end] = false;
    for (const from of back[end]!) if (--count[from]! === 0) ends.push(from);
  }
  return left;
}
