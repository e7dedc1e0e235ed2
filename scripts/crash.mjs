// `npm run crash -- [--rounds N] [--seed S] [--only TEXT]`: Linux in QEMU works on a disk while its back-end is killed and
// started again, N times for each back-end and ring format of test/vhost-user/crash.test.ts, or for those alone whose name matches.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, setUp } from './setup.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});
setUp();
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/vhost-user/crash.test.ts', '-t', values.only], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, CRASH_ROUNDS: values.rounds, CRASH_SEED: values.seed },
});
process.exitCode = status ?? 1;
