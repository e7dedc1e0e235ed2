import { describe, expect, it } from 'vitest';
import { junit } from '../../../../src/cli/check/junit.ts';
import type { CaseReport } from '../../../../src/cli/check/run-cases.ts';
import type { RuleReport } from '../../../../src/cli/check/verdict-report.ts';
import { readJunit } from '../../../support/junit-xml.ts';

function rule(over: Partial<RuleReport> = {}): RuleReport {
  return {
    id: 'status.device.1',
    section: '§2.1.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'No buffer is taken before DRIVER_OK.',
    result: 'pass',
    exercised: 1,
    failures: [],
    ...over,
  };
}

const failures = [
  { message: 'first', events: [{ kind: 'kick' as const, queue: 0, line: 3 }] },
  { message: 'second', events: [{ kind: 'kick' as const, queue: 0, line: 4 }] },
];

describe('JUnit XML, read by a parser', () => {
  it('has a suite for each section, and a case for each rule', () => {
    const rules = [
      rule(),
      rule({ id: 'status.device.3', result: 'fail', failures }),
      rule({ id: 'reset.device.1', section: '§2.4.1', result: 'not exercised' }),
      rule({ id: 'suspend.device.12', section: '§3.4.2', level: 'SHOULD', result: 'warning', failures }),
    ];
    const { name, cases } = readJunit(junit('virtio check trace x.jsonl', { rules }));
    expect(name).toBe('virtio check trace x.jsonl');
    expect(cases.map(({ suite, className, result }) => `${suite} ${className} ${result}`)).toEqual([
      '§2.1.2 device pass',
      '§2.1.2 device failure',
      '§2.4.1 device skipped',
      '§3.4.2 device pass',
    ]);
    expect(cases[1]).toMatchObject({ message: 'status.device.3', details: 'line 3: first\nline 4: second' });
    expect(cases[1]!.name).toBe('status.device.3 MUST NOT: No buffer is taken before DRIVER_OK.');
    expect(cases[3]!.details).toBe('warning: line 3: first\nline 4: second');
  });

  it('has a suite of what was run', () => {
    const run: CaseReport = { name: 'a case', result: 'pass', broken: [], trace: [] };
    const cases: CaseReport[] = [
      run,
      { ...run, name: 'fails', result: 'fail', message: 'no <answer> & "no" end' },
      { ...run, name: 'breaks', result: 'fail', broken: [rule({ result: 'fail', failures })] },
      { ...run, name: 'not run', result: 'not exercised', message: 'there is no disk' },
    ];
    const found = readJunit(junit('x', { rules: [], cases })).cases;
    expect(found.map(({ suite, name, result, message }) => [suite, name, result, message])).toEqual([
      ['cases', 'a case', 'pass', undefined],
      ['cases', 'fails', 'failure', 'no <answer> & "no" end'],
      ['cases', 'breaks', 'failure', 'breaks status.device.1'],
      ['cases', 'not run', 'skipped', 'there is no disk'],
    ]);
  });

  it('has a failure for each line of a recording that is no event', () => {
    const badLines = [{ line: 4, message: 'there is no event of the kind "dance"' }];
    const found = readJunit(junit('x', { rules: [rule()], badLines })).cases;
    expect(found[0]).toMatchObject({
      suite: 'lines',
      name: 'line 4',
      result: 'failure',
      message: badLines[0]!.message,
    });
    expect(readJunit(junit('x', { rules: [rule()], badLines: [] })).cases[0]).toMatchObject({
      suite: 'lines',
      result: 'pass',
    });
  });

  it.each([
    ['controls', 'a\u0000b\u0008c\u001fd', 'a?b?c?d'],
    ['what is no character', 'a\ufffeb\uffffc', 'a?b?c'],
    ['halves of surrogate pairs', 'a\ud800b\udc00c', 'a?b?c'],
    ['characters beyond 16 bits', 'a\u{1f600}b', 'a\u{1f600}b'],
    ['ends of lines and tabs', 'a\nb\tc\rd', 'a\nb\tc\rd'],
    ['markup', `<a b="c">&amp;]]></a>'`, `<a b="c">&amp;]]></a>'`],
  ])('keeps text as it is, or shows where it cannot be: %s', (_, given, read) => {
    const failed = rule({ text: given, result: 'fail', failures: [{ message: given, events: [] }] });
    const { name, cases } = readJunit(junit(given, { rules: [failed] }));
    expect(name).toBe(read);
    expect(cases[0]!.name).toBe(`status.device.1 MUST NOT: ${read}`);
    expect(cases[0]!.details).toBe(`line : ${read}`);
  });

  it('that is none is noticed by that parser', () => {
    expect(() => readJunit('<testsuites name="x">')).toThrow();
    expect(() => readJunit('<testsuites name="\u0001" tests="0" failures="0" skipped="0"/>')).toThrow();
    const miscounted = junit('x', { rules: [rule()] }).replaceAll('tests="1"', 'tests="2"');
    expect(() => readJunit(miscounted)).toThrow('tests="2"');
  });
});
