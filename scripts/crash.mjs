// `npm run crash -- [--rounds N]`: Linux in QEMU works on a disk while its back-end is killed and started again, N times with
// split rings and N times with packed ones.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, setUp } from './setup.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' } } });
setUp();
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/vhost-user/crash.test.ts'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ROUNDS: values.rounds },
});
process.exitCode = status ?? 1;
