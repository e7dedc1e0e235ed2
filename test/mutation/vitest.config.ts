import { relative } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** From the tests that say most in the shortest time to those that take longest: the first failure ends a run. */
const ORDER = [
  /^test\/unit\/device\/(?!model)/,
  /^test\/unit\/driver\/(?!model)/,
  /^test\/suspend\/(entering|leaving|negotiation|races|pause|at-rest|reset-and-failure|driver)/,
  /^test\/unit\/devices\/(?!block\/driver)/,
  /^test\/unit\/driver\//,
  /^test\/unit\/device\//,
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

/** The tests that are to notice a mutant of `src/device` or `src/driver`; for scripts/mutation.mjs. */
export default defineConfig({
  test: {
    include: ['test/unit/{device,driver,devices,queue}/**/*.test.ts', 'test/{suspend,model}/**/*.test.ts'],
    setupFiles: ['test/mutation/each-file.ts'],
    testTimeout: 20_000,
    isolate: false,
    sequence: { sequencer: QuickestFirst },
  },
});
