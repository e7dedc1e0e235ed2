import { relative } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** From the tests that say most in the shortest time to those that take longest: the first failure ends a run. */
const ORDER = [
  /^test\/unit\/device\/(?!model)/,
  /^test\/unit\/driver\/(?!model|queue-sizes|notification)/,
  /^test\/suspend\/(driver|entering|leaving|negotiation|races|pause|at-rest|reset-and-failure)/,
  /^test\/unit\/devices\/(?!block\/driver)/,
];

class QuickestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = ORDER.findIndex((paths) => paths.test(relative(process.cwd(), moduleId)));
      return at < 0 ? ORDER.length : at;
    };
    return [...files].sort((a, b) => place(a) - place(b) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}

const all = ['test/unit/{device,driver,devices,queue}/**/*.test.ts', 'test/{suspend,model}/**/*.test.ts'];
const quick = ['test/unit/{device,driver}/*.test.ts', 'test/suspend/*.test.ts'];
const slow = [
  '**/model.test.ts',
  '**/{queue-sizes,notification-data,load,block,rings,msix,same-everywhere,status-table}.test.ts',
];

/** The tests that are to notice a mutant of `src/device` or `src/driver`; for scripts/mutation.mjs, see there. */
export default defineConfig({
  test: {
    ...(process.env.MUTATION_TESTS === 'quick'
      ? { include: quick, exclude: [...configDefaults.exclude, ...slow], testTimeout: 5_000 }
      : { include: all, testTimeout: 20_000 }),
    setupFiles: ['test/mutation/each-file.ts'],
    isolate: false,
    sequence: { sequencer: QuickestFirst },
  },
});
