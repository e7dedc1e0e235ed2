// `npm start [-- options]`: sets everything up and runs the demonstration on a real guest.
import { join } from 'node:path';
import { compiler, installPrograms } from './programs.mjs';
import { root, run, setUp } from './setup.mjs';

setUp();
// Standard output may be for the report. The demonstration says what it leaves out without these.
installPrograms(compiler, console.error);
run(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'demo', ...process.argv.slice(2)], { cwd: process.cwd() });
