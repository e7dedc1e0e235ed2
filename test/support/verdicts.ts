/** docs/verdicts: what `virtio check` has found about each device and driver, as it came out. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CheckReport } from '../../src/cli/check/run-cases.ts';
import type { RuleReport } from '../../src/cli/check/verdict-report.ts';
import type { Role } from '../../src/monitor/trace.ts';

const folder = join(import.meta.dirname, '../../docs/verdicts');

/** What was found about one rule; rules that were not put to the test are left out. */
interface Found {
  readonly result: RuleReport['result'];
  readonly exercised: number;
  /** What was wrong first. */
  readonly first?: string;
}

interface Judged {
  /** Short, for the head of a column. */
  readonly name: string;
  readonly role: Role;
  /** What was run. */
  readonly command: string;
  /** Of the program that was judged; none for this project's own. */
  readonly version?: string;
}

export interface Verdicts extends Judged {
  readonly cases: { readonly run: number; readonly failed: number; readonly notExercised: number };
  /** The cases that failed, and why. */
  readonly failed: readonly string[];
  readonly rules: Readonly<Record<string, Found>>;
}

/**
 * Compares the report of a run (`--json`) with what is kept in docs/verdicts: the same rules and cases have to fail, and what
 * passed has to pass: a rule that is not put to the test any more is missed, but for those that are only by chance. With `npm run
 * verdicts` it is kept instead. How often a rule is exercised differs from run to run.
 */
export function keepVerdicts(file: string, judged: Judged, json: string, byChance: readonly string[] = []): void {
  const path = join(folder, `${file}.json`);
  const found = verdictsOf(judged, JSON.parse(json) as CheckReport);
  if (process.env['WRITE_VERDICTS'] !== undefined) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, `${JSON.stringify(found, null, 2)}\n`);
  }
  compareVerdicts(found, JSON.parse(readFileSync(path, 'utf8')) as Verdicts, byChance);
}

export function compareVerdicts(found: Verdicts, kept: Verdicts, byChance: readonly string[] = []): void {
  expect(rulesThat(found, 'fail')).toEqual(rulesThat(kept, 'fail'));
  expect(found.failed.map(caseName)).toEqual(kept.failed.map(caseName));
  const gone = Object.keys(kept.rules).filter((id) => found.rules[id] === undefined && !byChance.includes(id));
  expect(gone, 'rules that are not put to the test any more').toEqual([]);
}

/** Of which version of the program a file of docs/verdicts is; undefined without one. */
export function keptVersion(file: string): string | undefined {
  const path = join(folder, `${file}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Verdicts).version : undefined;
}

/** All that are kept, in the order of their files. */
export function keptVerdicts(): readonly Verdicts[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.sort().map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Verdicts);
}

function verdictsOf(judged: Judged, { cases, rules }: CheckReport): Verdicts {
  const failed = cases.filter(({ result }) => result === 'fail');
  const notExercised = cases.filter(({ result }) => result === 'not exercised').length;
  return {
    ...judged,
    cases: { run: cases.length - notExercised, failed: failed.length, notExercised },
    failed: failed.map(({ name, message, broken }) => {
      return `${name}: ${message ?? `breaks ${broken.map(({ id }) => id).join(', ')}`}`;
    }),
    rules: Object.fromEntries(
      rules
        .filter(({ result }) => result !== 'not exercised')
        .map(({ id, result, exercised, failures: [first] }) => {
          return [id, { result, exercised, ...(first === undefined ? {} : { first: first.message }) }];
        }),
    ),
  };
}

function rulesThat({ rules }: Verdicts, wanted: RuleReport['result']): readonly string[] {
  return Object.keys(rules).filter((id) => rules[id]!.result === wanted);
}

/** Cases end in the kind of ring in brackets; a reason comes after it. */
function caseName(failed: string): string {
  return failed.slice(0, failed.indexOf('): ') + 1);
}
