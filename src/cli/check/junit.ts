import type { CaseReport } from './run-cases.ts';
import type { RuleReport } from './verdict-report.ts';

/** Rules as JUnit XML, in which most build servers show tests: a suite for each section, a case for each rule; and what was run. */
export function junit(name: string, rules: readonly RuleReport[], cases: readonly CaseReport[] = []): string {
  const sections = new Map<string, RuleReport[]>();
  for (const rule of rules) sections.set(rule.section, [...(sections.get(rule.section) ?? []), rule]);
  const suites = [...sections].map(([section, inIt]) => {
    const failed = inIt.filter(({ result }) => result === 'fail').length;
    const skipped = inIt.filter(({ result }) => result === 'not exercised').length;
    const cases = inIt.map(testCase).join('');
    return `  <testsuite name="${xmlText(section)}" tests="${inIt.length}" failures="${failed}" skipped="${skipped}">\n${cases}  </testsuite>\n`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="${xmlText(name)}">\n${casesSuite(cases)}${suites.join('')}</testsuites>\n`;
}

function casesSuite(cases: readonly CaseReport[]): string {
  if (cases.length === 0) return '';
  const failed = cases.filter(({ result }) => result === 'fail').length;
  const skipped = cases.filter(({ result }) => result === 'not exercised').length;
  const lines = cases.map(({ name, result, message, broken }) => {
    const head = `    <testcase classname="cases" name="${xmlText(name)}"`;
    if (result === 'not exercised') return `${head}><skipped message="${xmlText(message!)}"/></testcase>\n`;
    const why = message ?? `breaks ${broken.map(({ id }) => id).join(', ')}`;
    return result === 'pass' ? `${head}/>\n` : `${head}><failure message="${xmlText(why)}"/></testcase>\n`;
  });
  return `  <testsuite name="cases" tests="${cases.length}" failures="${failed}" skipped="${skipped}">\n${lines.join('')}  </testsuite>\n`;
}

function testCase({ id, role, level, text, result, failures }: RuleReport): string {
  const head = `    <testcase classname="${xmlText(role)}" name="${xmlText(`${id} ${level}: ${text}`)}"`;
  const details = failures
    .map(({ message, events }) => `line ${events.map(({ line }) => line).join(', ')}: ${message}`)
    .join('\n');
  if (result === 'fail') return `${head}><failure message="${xmlText(id)}">${xmlText(details)}</failure></testcase>\n`;
  if (result === 'warning') return `${head}><system-out>${xmlText(`warning: ${details}`)}</system-out></testcase>\n`;
  if (result === 'not exercised') return `${head}><skipped message="not exercised"/></testcase>\n`;
  return `${head}/>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Characters that XML cannot have at all become question marks. */
function xmlText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '?').replaceAll(/[&<>"]/g, (c) => ENTITIES[c]!);
}
