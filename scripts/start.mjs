// `npm start [-- options]`: sets everything up and runs the demonstration on a real guest.
import { join } from 'node:path';
import { root, run, setUp } from './setup.mjs';

setUp();
run(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'demo', ...process.argv.slice(2)], { cwd: process.cwd() });
