// `npm test` runs everything; `npm run test:unit` what needs no guest, no browser and no network.
// Arguments that follow are handed to vitest, as in `npm test -- test/unit/queue`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compiler, installPrograms } from './programs.mjs';
import { root, setUp } from './setup.mjs';

const OTHER_NODES = [22, 24];
const unitOnly = process.argv[2] === 'unit';
const given = process.argv.slice(unitOnly ? 3 : 2);
const bin = (name, path) => join(root, 'node_modules', name, path);
const vitest = bin('vitest', 'vitest.mjs');
const totals = { passed: 0, failed: 0, skipped: 0 };
let failedSteps = 0;

setUp();
if (unitOnly) suite('unit tests', process.execPath, [vitest, 'run', '--project', 'unit', ...given]);
else if (given.length > 0) suite('tests', process.execPath, [vitest, 'run', ...given]);
else everything();
console.log(`${totals.passed} passed, ${totals.failed + failedSteps} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed + failedSteps > 0 ? 1 : 0;

function everything() {
  step('format and lint', process.execPath, [bin('@biomejs/biome', 'bin/biome'), 'check', '.']);
  step('package', process.execPath, [bin('publint', 'src/cli.js'), '--strict']);
  step('unused code', process.execPath, [bin('knip', 'bin/knip.js')]);
  // The tests in a browser, against QEMU's devices, and with Linux drivers of ours are skipped without these.
  installPrograms({ chromium: 'chromium', 'qemu-system-x86_64': 'qemu-system-x86', ...compiler });
  suite('tests', process.execPath, [vitest, 'run']);
  for (const version of OTHER_NODES) {
    const node = ['exec', '--yes', `--package=node@${version}`, '--', 'node'];
    suite(`unit tests on Node ${version}`, 'npm', [...node, vitest, 'run', '--project', 'unit']);
  }
}

/** Runs tests and adds up what they came to. */
function suite(name, command, args) {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-test-'));
  try {
    const file = join(folder, 'results.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    step(name, command, [...args, ...reporters]);
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(file, 'utf8'));
    totals.passed += numPassedTests;
    totals.failed += numFailedTests;
    totals.skipped += numPendingTests + numTodoTests;
  } catch (error) {
    console.error(`${name}: no results: ${error.message}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs one program; what fails is counted, and the rest goes on. */
function step(name, command, args) {
  console.log(`\n== ${name}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`${command} could not be started: ${error.message}`);
  if (status !== 0) failedSteps++;
}
