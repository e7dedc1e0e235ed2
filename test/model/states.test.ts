import { describe, expect, it } from 'vitest';
import { runs } from '../support/runs.ts';
import { explore } from './explore.ts';
import { FAULTS, type Fault } from './faults.ts';
import { SAFETY_NAMES } from './invariants.ts';
import { NOTIFY, type Settings, SMALL } from './state.ts';

/** With one buffer there is no order. */
const SETTINGS: readonly Settings[] = [1, 2, 3].flatMap((buffers) =>
  NOTIFY.flatMap((notify) =>
    (buffers === 1 ? (['any'] as const) : (['any', 'in order'] as const)).flatMap((order) =>
      (['at once', 'late'] as const).map((telling) => ({ buffers, notify, order, telling })),
    ),
  ),
);

/** All there is, of these; of the others what is near. */
const ENTIRELY: readonly Settings[] = [{ ...SMALL, buffers: 1 }, SMALL];
const DEPTH = 12;

/** `npm run fuzz` has all there is of some, other ones for each of so many seeds. */
const { seed, numRuns } = runs(0, 1);
const TURNS = 6;

function depthOf(settings: Settings, index: number): number | undefined {
  const isChosen = ENTIRELY.some((one) => JSON.stringify(one) === JSON.stringify(settings));
  return isChosen || (numRuns > 1 && index % TURNS === seed % TURNS) ? undefined : DEPTH;
}

it.each(SETTINGS.map((settings, index) => ({ ...settings, depth: depthOf(settings, index) })))(
  'no state breaks an invariant: $buffers buffers, notify $notify, order $order, telling $telling',
  ({ depth, ...settings }) => {
    const graph = explore(settings, depth === undefined ? {} : { depth });
    const { buffers, notify, order, telling } = settings;
    const what = `${buffers} buffers, notify ${notify}, order ${order}, telling ${telling}`;
    const extent = depth === undefined ? `all, of depth ${graph.depth}` : `up to depth ${depth}`;
    console.log(`${what}: ${graph.states.length} states, ${graph.edges.length} transitions, ${extent}`);
    expect([...graph.violations.values()]).toEqual([]);
    expect(graph.states.length).toBeGreaterThan(1000);
  },
);

describe('a planted fault breaks its invariant, and no other', () => {
  it.each(Object.entries(FAULTS))('%s: %s', (fault, invariant) => {
    const { violations } = explore({ ...SMALL, buffers: 1 }, { fault: fault as Fault, until: 'first violation' });
    const [violation] = violations.values();
    console.log(`${fault}: ${violation?.path.join(', ')}`);
    expect([...violations.keys()]).toEqual([invariant]);
  });

  it('there is a fault for each invariant', () => {
    const found = new Set<string>(Object.values(FAULTS));
    expect([...found].sort()).toEqual(
      [...SAFETY_NAMES, 'every state has a way on', 'no way on goes round in a circle'].sort(),
    );
  });
});
