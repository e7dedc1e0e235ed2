import type { BadLine } from '../../monitor/trace-format.ts';
import type { CaseReport } from './run-cases.ts';
import type { RuleReport } from './verdict-report.ts';

/** What a report is made of. Cases are those that were run; lines are those of a recording, for which that makes no sense. */
export interface JunitParts {
  readonly rules: readonly RuleReport[];
  readonly cases?: readonly CaseReport[];
  readonly badLines?: readonly BadLine[];
}

interface TestCase {
  readonly result: 'pass' | 'fail' | 'skipped';
  /** From `<testcase` to its end, indented. */
  readonly xml: string;
}

/**
 * JUnit XML, in which most build servers show tests: a suite for each section, with a case for each rule; one of what was run,
 * and one of the lines of a recording. It has a failure whenever the command fails.
 */
export function junit(name: string, { rules, cases, badLines }: JunitParts): string {
  const sections = new Map<string, RuleReport[]>();
  for (const rule of rules) sections.set(rule.section, [...(sections.get(rule.section) ?? []), rule]);
  const suites: readonly (readonly [string, readonly TestCase[]])[] = [
    ...(cases === undefined ? [] : [['cases', cases.map(ofCase)] as const]),
    ...(badLines === undefined ? [] : [['lines', ofLines(badLines)] as const]),
    ...[...sections].map(([section, inIt]) => [section, inIt.map(ofRule)] as const),
  ];
  const all = suites.flatMap(([, tests]) => tests);
  const lines = suites.map(([suite, tests]) => {
    return `  <testsuite name="${attribute(suite)}" ${counts(tests)}>\n${tests.map(({ xml }) => xml).join('')}  </testsuite>\n`;
  });
  const head = `<testsuites name="${attribute(name)}" ${counts(all)}>`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n${head}\n${lines.join('')}</testsuites>\n`;
}

function counts(tests: readonly TestCase[]): string {
  const of = (wanted: TestCase['result']): number => tests.filter(({ result }) => result === wanted).length;
  return `tests="${tests.length}" failures="${of('fail')}" errors="0" skipped="${of('skipped')}"`;
}

function testCase(className: string, name: string, result: TestCase['result'], inside = ''): TestCase {
  const head = `    <testcase classname="${attribute(className)}" name="${attribute(name)}"`;
  return { result, xml: inside === '' ? `${head}/>\n` : `${head}>${inside}</testcase>\n` };
}

function failure(message: string, details = ''): string {
  return `<failure message="${attribute(message)}">${text(details)}</failure>`;
}

function ofCase({ name, result, message, broken }: CaseReport): TestCase {
  if (result === 'not exercised') {
    return testCase('cases', name, 'skipped', `<skipped message="${attribute(message ?? result)}"/>`);
  }
  if (result === 'pass') return testCase('cases', name, 'pass');
  return testCase('cases', name, 'fail', failure(message ?? `breaks ${broken.map(({ id }) => id).join(', ')}`));
}

function ofLines(badLines: readonly BadLine[]): readonly TestCase[] {
  if (badLines.length === 0) return [testCase('lines', 'each line is an event', 'pass')];
  return badLines.map(({ line, message }) => testCase('lines', `line ${line}`, 'fail', failure(message)));
}

function ofRule({ id, role, level, text: says, result, failures }: RuleReport): TestCase {
  const name = `${id} ${level}: ${says}`;
  const details = failures
    .map(({ message, events }) => `line ${events.map(({ line }) => line).join(', ')}: ${message}`)
    .join('\n');
  if (result === 'fail') return testCase(role, name, 'fail', failure(id, details));
  if (result === 'warning')
    return testCase(role, name, 'pass', `<system-out>${text(`warning: ${details}`)}</system-out>`);
  if (result === 'not exercised') return testCase(role, name, 'skipped', '<skipped message="not exercised"/>');
  return testCase(role, name, 'pass');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

/** Characters that XML cannot have at all become question marks, halves of surrogate pairs among them (XML 1.0, 2.2). */
function text(value: string): string {
  return value
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?')
    .replaceAll(/[&<>"\r]/g, (character) => ENTITIES[character]!);
}

/** The ends of lines in an attribute would be read as spaces. */
function attribute(value: string): string {
  return text(value).replaceAll('\n', '&#10;').replaceAll('\t', '&#9;');
}
