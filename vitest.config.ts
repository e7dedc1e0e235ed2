import { defineConfig } from 'vitest/config';

const SLOW_MS = 300_000;

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/{unit,suspend}/**/*.test.ts'], testTimeout: 20_000 } },
      {
        // Real guests and browsers take a core each: one file after the other.
        test: {
          name: 'real',
          include: ['test/{guest,browser,cli}/**/*.test.ts'],
          testTimeout: SLOW_MS,
          hookTimeout: SLOW_MS,
          fileParallelism: false,
          // On a machine that others use too, a guest may come too late once; the report says which test needed it.
          retry: process.env.CI === undefined ? 0 : 1,
        },
      },
    ],
  },
});
