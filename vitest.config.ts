import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** Drivers for Linux are built here; what needs them is left out where they cannot be. */
const hasCompiler = spawnSync('sh', ['-c', 'command -v gcc && command -v make']).status === 0;
if (!hasCompiler) console.warn('skipped: guests with drivers of ours, as there is no gcc or no make');

const hasNbdkit = spawnSync('sh', ['-c', 'command -v nbdkit']).status === 0;
if (!hasNbdkit) console.warn('skipped: disks on NBD servers of others, as there is no nbdkit');

const needCompiler = ['test/guest/suspend*.test.ts', 'test/cli/check-linux.test.ts', 'test/qemu/vfio-user.test.ts'];

/** vitest itself would leave one processor idle. */
const PROCESSORS = availableParallelism();

/** No test is about how fast the machine is: it may have other things to do. */
const HANG_MS = 120_000;
const SLOW_MS = 300_000;

/** Over sockets, with mapped files and mounted ones, with processes that are killed: they take their time, and need Linux. */
const SOCKETS = [
  'test/unit/hosts/*.test.ts',
  'test/unit/hosts/{vfio,vhost}-user/**/*.test.ts',
  'test/unit/hosts/loopback/worker.test.ts',
  'test/unit/storage/{nbd/*,mapped-disk,direct-disk,file-lock}.test.ts',
  'test/unit/machine/saving-is-killed.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{unit,suspend,model}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...SOCKETS],
          testTimeout: HANG_MS,
          // No file leaves anything behind, and a process for each would take as long as the tests themselves.
          isolate: false,
          maxWorkers: PROCESSORS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'sockets',
          include: SOCKETS,
          testTimeout: HANG_MS,
          isolate: false,
          maxWorkers: PROCESSORS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Guests wait a part of their time: three at once keep two cores busy.
        test: {
          name: 'real',
          include: ['test/{guest,browser,cli,qemu,storage,vhost-user}/**/*.test.ts'],
          exclude: [
            ...configDefaults.exclude,
            ...(hasCompiler ? [] : needCompiler),
            ...(hasNbdkit ? [] : ['test/storage/nbd*.test.ts']),
          ],
          testTimeout: SLOW_MS,
          hookTimeout: SLOW_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          // On a machine that others use too, a guest may come too late once; the report says which test needed it.
          retry: process.env.CI === undefined ? 0 : 1,
        },
      },
    ],
  },
});
