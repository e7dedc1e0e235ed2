import { availableParallelism } from 'node:os';

/** For `npm run mutation`, which says what is mutated. */
export default {
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: process.env.MUTATION_TESTS !== 'quick' },
  coverageAnalysis: 'perTest',
  concurrency: Math.min(2, availableParallelism()),
  // TypeScript 7 has no interface for programs, by which Stryker would rewrite the paths in its configuration. Vite needs none.
  ignorePatterns: [
    '/bench',
    '/contrib',
    '/dist',
    '/docs',
    '/examples',
    '/guest',
    '/scripts',
    '/.cache',
    '/tsconfig*.json',
  ],
  disableTypeChecks: false,
  // The wording of messages is no behaviour.
  mutator: { excludedMutations: ['StringLiteral'] },
  timeoutMS: 3_000,
  tempDirName: '.cache/stryker',
  reporters: ['json', 'progress-append-only'],
  jsonReporter: { fileName: '.cache/mutation/report.json' },
};
