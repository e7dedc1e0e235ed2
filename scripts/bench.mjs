// `npm run bench [-- --suite NAME] [--json FILE]`
import { join } from 'node:path';
import { blkioPrograms, installBlkio } from './blkio.mjs';
import { root, run, setUp } from './setup.mjs';

setUp();
// What these suites measure with, and next to.
if (['vhost', 'vhost-direct'].some((suite) => process.argv.includes(suite))) installBlkio();
const { bench, storageDaemon } = blkioPrograms() ?? {};
if (bench !== undefined) Object.assign(process.env, { BLKIO_BENCH: bench, STORAGE_DAEMON: storageDaemon });
run(process.execPath, [join(root, 'dist', 'use', 'bench', 'main.js'), ...process.argv.slice(2)], {
  cwd: process.cwd(),
});
