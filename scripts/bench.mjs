// `npm run bench [-- --suite NAME] [--json FILE]`
import { join } from 'node:path';
import { root, run, setUp } from './setup.mjs';

setUp();
run(process.execPath, [join(root, 'dist', 'use', 'bench', 'main.js'), ...process.argv.slice(2)], {
  cwd: process.cwd(),
});
