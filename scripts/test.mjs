// `npm test` runs everything; `npm run test:unit` what needs no guest, no browser and no network.
// Arguments that follow are handed to vitest, as in `npm test -- test/unit/queue`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installBlkio } from './blkio.mjs';
import { installNewerQemu } from './newer-qemu.mjs';
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
if (unitOnly) await suite('unit tests', process.execPath, [vitest, 'run', '--project', 'unit', ...given]);
else if (given.length > 0) {
  if (!given.every(isUnit)) installWhatTestsNeed();
  await suite('tests', process.execPath, [vitest, 'run', ...given]);
} else await everything();
console.log(`${totals.passed} passed, ${totals.failed + failedSteps} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed + failedSteps > 0 ? 1 : 0;

async function everything() {
  await step('format and lint', process.execPath, [bin('@biomejs/biome', 'bin/biome'), 'check', '.']);
  await step('package', process.execPath, [bin('publint', 'src/cli.js'), '--strict']);
  await step('unused code', process.execPath, [bin('knip', 'bin/knip.js')]);
  installWhatTestsNeed();
  // Guests leave processors idle now and then: enough for the other Nodes, whose output comes when theirs has ended.
  const others = otherNodes();
  await suite('tests', process.execPath, [vitest, 'run']);
  for (const output of await others) console.log(output);
}

/** Whether an argument is an option, or names tests that need no programs of others. */
function isUnit(argument) {
  return argument.startsWith('-') || /^(\.\/)?test\/(unit|suspend|model)\b/.test(argument);
}

function installWhatTestsNeed() {
  // The tests in a browser, against QEMU's devices, and with Linux drivers of ours are skipped without these.
  installPrograms({ chromium: 'chromium', 'qemu-system-x86_64': 'qemu-system-x86', ...compiler });
  // So is what a server asks of the system when a guest flushes.
  installPrograms({ strace: 'strace' });
  // So is a machine that starts from a disk of ours.
  installPrograms({ syslinux: 'syslinux', mcopy: 'mtools' });
  // So are disks on NBD servers.
  installPrograms({ nbdkit: 'nbdkit', 'qemu-nbd': 'qemu-utils' });
  // So is the test of our devices in a QEMU that speaks vfio-user.
  installNewerQemu();
  // So is libblkio in front of our disks.
  installBlkio();
}

/** The unit tests on other versions of Node, one after the other; what each had to say. */
async function otherNodes() {
  const outputs = [];
  for (const version of OTHER_NODES) {
    const node = ['exec', '--yes', `--package=node@${version}`, '--', 'node'];
    const name = `unit tests on Node ${version}`;
    outputs.push(await suite(name, 'npm', [...node, vitest, 'run', '--project', 'unit'], 'pipe'));
  }
  return outputs;
}

/** Runs tests and adds up what they came to; see `step`. */
async function suite(name, command, args, output) {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-test-'));
  try {
    const file = join(folder, 'results.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const said = await step(name, command, [...args, ...reporters], output);
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(file, 'utf8'));
    totals.passed += numPassedTests;
    totals.failed += numFailedTests;
    totals.skipped += numPendingTests + numTodoTests;
    return said;
  } catch (error) {
    console.error(`${name}: no results: ${error.message}`);
    return '';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs one program; what fails is counted, and the rest goes on. With `pipe` its output is returned, not shown. */
async function step(name, command, args, output = 'inherit') {
  let said = `\n== ${name}\n`;
  if (output === 'inherit') process.stdout.write(said);
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', output, output] });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  const problem = await new Promise((resolve) => {
    child.once('error', (error) => resolve(`${command} could not be started: ${error.message}`));
    child.once('close', (status) => resolve(status === 0 ? undefined : `${name}: ended with ${status}`));
  });
  if (problem !== undefined) {
    failedSteps++;
    console.error(problem);
  }
  return said;
}
