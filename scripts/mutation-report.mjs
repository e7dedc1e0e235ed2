// What `npm run mutation` prints, and writes down: docs/mutation.json, and the table of docs/mutation.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const CAUGHT = ['Killed', 'Timeout'];
const MISSED = ['Survived', 'NoCoverage'];
const SUMMARY = join(root, 'docs/mutation.json');
const DOCUMENT = join(root, 'docs/mutation.md');

/** Every mutant that was not caught, and the figures of each file. */
export function print(mutants) {
  for (const { file, first, text, start, mutatorName, replacement, status, statusReason } of mutants) {
    if (CAUGHT.includes(status)) continue;
    console.log(`${status} ${file}:${first + start.line} ${mutatorName}: ${text.split('\n')[start.line].trim()}`);
    console.log(`    -> ${(replacement ?? '').replaceAll(/\s+/g, ' ')} ${statusReason ?? ''}`);
  }
  for (const row of rows(mutants)) console.log(row);
}

/** How many mutants there are that run, how many of them were caught, and those that did not run or change nothing. */
export function count(mutants) {
  const number = (statuses) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const caught = number(CAUGHT);
  return {
    mutants: caught + number(MISSED),
    caught,
    timeouts: number(['Timeout']),
    errors: number(['RuntimeError', 'CompileError']),
    equivalent: number(['Ignored']),
  };
}

export function write(summary, mutants) {
  writeFileSync(SUMMARY, `${JSON.stringify({ ...summary, files: perFile(mutants) }, null, 2)}\n`);
  const table = ['| file | mutants | caught | |', '|---|---|---|---|', ...rows(mutants), ''].join('\n');
  const document = readFileSync(DOCUMENT, 'utf8');
  writeFileSync(
    DOCUMENT,
    document.replace(/(<!-- table: mutants.*-->\n)(\|.*\n)*/, (_, mark) => mark + table),
  );
}

function perFile(mutants) {
  const files = [...new Set(mutants.map(({ file }) => file))];
  return files.map((file) => ({ file, ...count(mutants.filter((mutant) => mutant.file === file)) }));
}

function rows(mutants) {
  return [...perFile(mutants), { file: 'all', ...count(mutants) }].map(({ file, mutants: all, caught }) => {
    return `| ${file} | ${all} | ${caught} | ${((100 * caught) / (all || 1)).toFixed(1)} % |`;
  });
}
