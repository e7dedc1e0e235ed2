// `npm run suspend-cycles -- [--cycles N]`: Linux in a QEMU that speaks vfio-user goes to sleep N times while it works, a hundred
// unless told otherwise, and suspends its block, network and entropy devices through the bit each time; then as often one by one.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installNewerQemu } from './newer-qemu.mjs';
import { root, setUp } from './setup.mjs';

const { values } = parseArgs({ options: { cycles: { type: 'string', default: '100' } } });
setUp();
installNewerQemu();
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/qemu/vfio-user.test.ts'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, VFIO_USER_CYCLES: values.cycles },
});
process.exitCode = status ?? 1;
