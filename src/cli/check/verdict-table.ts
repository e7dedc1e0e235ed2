import { makeTable } from '../table.ts';
import { count, type RuleReport, type TraceReport } from './verdict-report.ts';

/** What is wrong, with the lines that show it, above how the rules fared. */
export function traceTable({ rules, badLines, lines, text }: TraceReport): string {
  const bad = badLines.map(({ line, message }) => `line ${line} is no event: ${message}`);
  return [...bad, ...rules.flatMap(problems), rulesTable(rules), summary(rules, `${lines} lines`, text)].join('\n');
}

/** What was broken, and the lines that show it. */
export function problems({ id, level, text, result, failures }: RuleReport): string[] {
  if (failures.length === 0) return [];
  const where = failures.map(
    ({ message, events }) => `    line ${events.map(({ line }) => line).join(', ')}: ${message}`,
  );
  return [`${result === 'fail' ? 'FAILED' : 'warning'} ${id} (${level}): ${text}`, ...where];
}

/** The rules that were put to the test. */
export function rulesTable(rules: readonly RuleReport[]): string {
  const table = makeTable(['rule', 'section', 'level', 'whose', 'exercised', 'result']);
  for (const { id, section, level, role, exercised, result } of rules) {
    if (result !== 'not exercised') table.push([id, section, level, role, exercised, result]);
  }
  return table.toString();
}

export function summary(rules: readonly RuleReport[], what: string, text: string): string {
  const parts = (['pass', 'fail', 'warning', 'not exercised'] as const).map(
    (result) => `${count(rules, result)} ${result}`,
  );
  return `${what}, judged by VIRTIO ${text === 'v1' ? 'SUSPEND patch v1' : text}: ${parts.join(', ')}`;
}
