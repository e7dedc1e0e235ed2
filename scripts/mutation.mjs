// `npm run mutation [-- --part N/M] [--seed S] [--quick]`: changes src/device and src/driver in every way that Stryker knows
// but the wording of texts, one at a time, and counts what the unit, suspend and model tests notice. What the quick ones of
// them do not notice is tried again with all; not so with --quick. All of it takes hours: a part is a sample by chance, M
// parts are all of it. What was found is kept for as long as the passage is the same.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { count, print, write } from './mutation-report.mjs';
import { part, passagesOf } from './passages.mjs';
import { root, run, setUp } from './setup.mjs';

const FOLDERS = ['src/device', 'src/driver'];
const REPORT = join(root, '.cache/mutation/report.json');
const KEPT = join(root, '.cache/mutation/kept.json');

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: '1/1' },
    seed: { type: 'string', default: '14' },
    quick: { type: 'boolean', default: false },
  },
});
const [number, parts] = values.part.split('/').map(Number);
const seed = Number(values.seed);
if (!(number >= 1 && number <= parts) || !Number.isSafeInteger(seed)) {
  throw new RangeError('--part is like 1/8, and --seed a number');
}

setUp();
const all = passagesOf(FOLDERS);
const chosen = part(all, number, parts, seed);
console.log(`part ${number} of ${parts}, seed ${seed}: ${chosen.length} of ${all.length} passages`);
const results = readKept();
for (const passage of chosen) results.set(key(passage), []);
stryker(
  'quick',
  chosen.map(({ file, first, last }) => `${file}:${first}-${last}`),
);
take(chosen);
const missed = chosen.flatMap(({ file, first, ...passage }) =>
  results
    .get(key({ file, ...passage }))
    .filter(({ status }) => status === 'Survived' || status === 'NoCoverage')
    .map(({ start, end }) => `${file}:${first + start.line}:${start.column - 1}-${first + end.line}:${end.column - 1}`),
);
if (missed.length > 0 && !values.quick) {
  stryker('all', missed);
  take(chosen);
}
writeFileSync(KEPT, JSON.stringify(Object.fromEntries(results)));
const known = all.filter((passage) => results.has(key(passage)));
const mutants = known.flatMap((passage) => results.get(key(passage)).map((mutant) => ({ ...mutant, ...passage })));
print(mutants);
console.log(`${known.length} of ${all.length} passages, seed ${seed}`);
write({ seed, passages: known.length, ofPassages: all.length, total: count(mutants) }, mutants);

function stryker(tests, places) {
  mkdirSync(dirname(REPORT), { recursive: true });
  const common = JSON.stringify(join(root, 'stryker.config.mjs'));
  const config = join(dirname(REPORT), 'stryker.config.mjs');
  writeFileSync(
    config,
    `import common from ${common};\nexport default { ...common, mutate: ${JSON.stringify(places)} };\n`,
  );
  const env = { ...process.env, MUTATION_TESTS: tests };
  run(process.execPath, [join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run', config], { env });
}

/** What was found before of passages that are still the same. */
function readKept() {
  let kept = {};
  try {
    kept = JSON.parse(readFileSync(KEPT, 'utf8'));
  } catch {
    // Nothing was kept.
  }
  return new Map(all.map(key).flatMap((name) => (name in kept ? [[name, kept[name]]] : [])));
}

function key({ file, text }) {
  return `${file}\n${text}`;
}

/** Takes the mutants of these passages over from Stryker's report; lines are counted within the passage. */
function take(passages) {
  const { files } = JSON.parse(readFileSync(REPORT, 'utf8'));
  for (const passage of passages) {
    const mutants = new Map(results.get(key(passage)).map((mutant) => [mutant.id, mutant]));
    for (const { mutatorName, location, replacement, status, statusReason } of files[passage.file]?.mutants ?? []) {
      const { start, end } = location;
      const excluded = status === 'Ignored' && mutatorName === 'StringLiteral';
      if (excluded || start.line < passage.first || end.line > passage.last) continue;
      const within = (at) => ({ line: at.line - passage.first, column: at.column });
      const id = [mutatorName, ...Object.values(within(start)), ...Object.values(within(end)), replacement].join();
      mutants.set(id, { id, mutatorName, start: within(start), end: within(end), replacement, status, statusReason });
    }
    results.set(key(passage), [...mutants.values()]);
  }
}
