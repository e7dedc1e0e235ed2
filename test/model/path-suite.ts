import { afterEach, describe, expect, it, vi } from 'vitest';
import { Difference } from './difference.ts';
import { type Ground, goEverywhere, goFar, type Walker } from './paths.ts';
import type { RingKind } from './ring-memory.ts';
import type { Settings } from './state.ts';

export interface PathSuite {
  readonly end: 'device' | 'driver';
  readonly grounds: readonly Ground[];
  /** What the long paths are drawn from, and how many there are on each ground. */
  readonly seed: number;
  readonly numRuns: number;
  /** How many steps further than usual all paths are gone along. */
  readonly deeper: number;
  make(settings: Settings, kind: RingKind): Walker;
  readonly faults: Readonly<Record<string, () => void>>;
}

/** Real code does what the model does, wherever the model leads; and a comparison that finds each planted fault. */
export function pathSuite(suite: PathSuite): void {
  const { end, grounds, seed, numRuns, deeper, make, faults } = suite;
  const named = grounds.map((ground) => [ground.name, ground] as const);

  it.each(named)(`a ${end} does what the model does, on all short paths: %s`, async (_, ground) => {
    const walked = await goEverywhere(ground, deeper, () => make(ground.settings, ground.kind));
    console.log(`${end}, ${ground.name}, all paths, ${deeper} steps further: ${walked}`);
    expect(walked.paths).toBeGreaterThan(2000);
  });

  it.each(named)(`a ${end} does what the model does, on long paths (seed ${seed}): %s`, async (_, ground) => {
    const walked = await goFar(ground, { seed, numRuns }, (settings) => make(settings, ground.kind));
    console.log(`${end}, ${ground.name}, seed ${seed}: ${walked}`);
    expect(walked.paths).toBe(numRuns);
    expect(walked.transitions).toBeGreaterThan(1000);
  });

  describe(`a ${end} that differs is found out`, () => {
    afterEach(() => {
      vi.restoreAllMocks();
    });

    it.each(Object.entries(faults))('%s', async (fault, plant) => {
      plant();
      const error = await firstDifference(suite);
      expect(error?.cause).toBeInstanceOf(Difference);
      console.log(`${end} that ${fault}: ${error!.message}`);
    });
  });
}

/** On any ground: not each fault is one in each kind of ring. */
async function firstDifference({ grounds, seed, numRuns, make }: PathSuite): Promise<Error | undefined> {
  try {
    for (const ground of grounds) {
      await goEverywhere(ground, -1, () => make(ground.settings, ground.kind));
      await goFar(ground, { seed, numRuns }, (settings) => make(settings, ground.kind));
    }
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
