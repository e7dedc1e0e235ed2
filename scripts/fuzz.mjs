// `npm run fuzz -- [--minutes N] [--seed S] [--replay FILE]`: the property tests with other seeds and more runs, round after
// round. What fails is written to a file, which `--replay` runs again. `npm run fuzz -- --sessions N [--seed S]`: N sessions that say
// anything, over vhost-user and over vfio-user, after each of which as many descriptors are open and mapped as before.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root, setUp } from './setup.mjs';

/** A round takes about a minute. */
const TIMES = 10;
const SESSIONS = ['vhost-user/hostile-front-end', 'vfio-user/random-client'].map(
  (name) => `test/unit/hosts/${name}.test.ts`,
);

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    replay: { type: 'string' },
    sessions: { type: 'string' },
  },
});
setUp();
if (values.sessions !== undefined) process.exitCode = sessions(values.sessions);
else process.exitCode = values.replay === undefined ? search() : replay(values.replay);

function sessions(count) {
  const seed = String(values.seed ?? Date.now() % 2 ** 31);
  if (!(Number(count) > 0) || Number.isNaN(Number(seed))) throw new RangeError('--sessions and --seed are numbers');
  console.log(`seed ${seed}`);
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--testTimeout=3600000', '--disableConsoleIntercept', ...SESSIONS];
  const env = { ...process.env, SEED: seed, SESSIONS: count };
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env }).status ?? 1;
}

function search() {
  const first = Number(values.seed ?? Date.now() % 2 ** 31);
  const end = Date.now() + Number(values.minutes) * 60_000;
  if (!Number.isSafeInteger(first) || Number.isNaN(end)) throw new RangeError('--minutes and --seed are numbers');
  const files = propertyTests();
  for (let seed = first; seed === first || Date.now() < end; seed++) {
    const { failed } = round(seed, TIMES, files);
    console.log(`seed ${seed}: ${failed.length === 0 ? 'nothing found' : `${failed.length} failed`}`);
    for (const [n, { file, test, message }] of failed.entries()) {
      const path = resolve(`fuzz-${seed}-${n}.json`);
      writeFileSync(path, `${JSON.stringify({ seed, times: TIMES, file, test }, null, 2)}\n`);
      console.error(`\n${test}\n${message}\nagain: npm run fuzz -- --replay ${path}\n`);
    }
    if (failed.length > 0) return 1;
  }
  return 0;
}

function replay(path) {
  const { seed, times, file, test } = JSON.parse(readFileSync(path, 'utf8'));
  const exactly = `^${test.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
  const { passed, failed } = round(seed, times, [file, '-t', exactly]);
  if (passed + failed.length === 0) throw new Error(`there is no such test any more: ${test}`);
  console.log(failed[0]?.message ?? 'it does not fail any more');
  return failed.length > 0 ? 1 : 0;
}

/** Runs tests with a seed; how many passed, and those that failed. */
function round(seed, times, tests) {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-fuzz-'));
  try {
    const output = join(folder, 'results.json');
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const options = [
      '--project',
      'unit',
      '--project',
      'sockets',
      '--testTimeout=3600000',
      '--reporter=json',
      `--outputFile=${output}`,
    ];
    spawnSync(process.execPath, [vitest, 'run', ...options, ...tests], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SEED: String(seed), TIMES: String(times) },
    });
    const { numPassedTests, testResults } = JSON.parse(readFileSync(output, 'utf8'));
    const failed = testResults.flatMap(({ name, assertionResults }) =>
      assertionResults
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => ({
          file: relative(root, name),
          test: fullName,
          message: failureMessages.join('\n'),
        })),
    );
    return { passed: numPassedTests, failed };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The tests that take their seed from outside. */
function propertyTests() {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => join('test', file))
    .filter((file) => readFileSync(join(root, file), 'utf8').includes('support/runs.ts'));
}
