import { describe, expect, it } from 'vitest';
import { explore } from './explore.ts';
import { FAULTS, type Fault } from './faults.ts';
import { SAFETY_NAMES } from './invariants.ts';
import { type Settings, SMALL } from './state.ts';

const SETTINGS: readonly Settings[] = [
  { ...SMALL, buffers: 3 },
  { ...SMALL, notify: 'packed event index', order: 'in order' },
];

it.each(SETTINGS)('no state breaks an invariant: $buffers buffers, notify $notify, order $order', (settings) => {
  const graph = explore(settings);
  console.log(`${graph.states.length} states, ${graph.edges.length} transitions, depth ${graph.depth}`);
  expect([...graph.violations.values()]).toEqual([]);
});

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
