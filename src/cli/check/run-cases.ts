import { Judge, type Verdict } from '../../monitor/judge.ts';
import { isStrict } from '../../monitor/rule.ts';
import { rules } from '../../monitor/rules.ts';
import type { Role, TextVersion } from '../../monitor/trace.ts';
import { TraceReader } from '../../monitor/trace-format.ts';
import { count, type RuleReport, ruleReport } from './verdict-report.ts';

/** What became of one case. */
export interface CaseReport {
  readonly name: string;
  readonly result: 'pass' | 'fail';
  /** What did not come about, if anything. */
  readonly message?: string;
  /** Rules that were broken. */
  readonly broken: readonly RuleReport[];
  readonly trace: readonly string[];
}

export interface CheckReport {
  readonly ok: boolean;
  readonly text: TextVersion;
  readonly cases: readonly CaseReport[];
  /** Each rule over all cases. */
  readonly rules: readonly RuleReport[];
}

export interface CheckCase {
  /** Rejects when something does not come about. */
  run(): Promise<void>;
  readonly trace: readonly string[];
}

/** A case that makes its own device and driver when its turn comes. */
export interface NamedCase {
  readonly name: string;
  prepare(): Promise<CheckCase>;
}

/** Runs cases one after the other, and judges what `role` did in each. */
export async function runCases(
  cases: readonly NamedCase[],
  { role, text, onCase }: { role: Role; text: TextVersion; onCase: (name: string, done: number) => void },
): Promise<CheckReport> {
  const reports: CaseReport[] = [];
  const merged = new Map<string, RuleReport>();
  for (const [index, { name, prepare }] of cases.entries()) {
    onCase(name, index / cases.length);
    const prepared = await prepare();
    const message = await run(prepared);
    const verdicts = judge(prepared.trace, text).filter(({ rule }) => rule.role === role);
    const found = verdicts.map(ruleReport);
    for (const report of found) merged.set(report.id, merge(merged.get(report.id), report));
    const broken = found.filter(({ failures }) => failures.length > 0);
    const result = message === undefined && !broken.some(({ level }) => isStrict(level)) ? 'pass' : 'fail';
    reports.push({ name, result, ...(message === undefined ? {} : { message }), broken, trace: prepared.trace });
  }
  const all = [...merged.values()];
  return {
    ok: reports.every(({ result }) => result === 'pass') && count(all, 'fail') === 0,
    text,
    cases: reports,
    rules: all,
  };
}

async function run(prepared: CheckCase): Promise<string | undefined> {
  try {
    await prepared.run();
    return undefined;
  } catch (error) {
    // What the other end does may come up anywhere: it is a result like any other.
    return error instanceof Error ? error.message : String(error);
  }
}

/** By way of the text, as from a file. */
function judge(trace: readonly string[], text: TextVersion): readonly Verdict[] {
  const reader = new TraceReader();
  let judge: Judge | undefined;
  for (const line of trace) {
    const event = reader.read(line);
    if (event !== undefined) judge!.follow(event, reader.line);
    else if (reader.header !== undefined) judge ??= new Judge(reader.header, rules, text);
  }
  if (reader.bad[0] !== undefined)
    throw new Error(`our own trace, line ${reader.bad[0].line}: ${reader.bad[0].message}`);
  return judge!.end();
}

const WORST: readonly RuleReport['result'][] = ['not exercised', 'pass', 'warning', 'fail'];

function merge(before: RuleReport | undefined, now: RuleReport): RuleReport {
  if (before === undefined) return now;
  const result = WORST.indexOf(now.result) > WORST.indexOf(before.result) ? now.result : before.result;
  return {
    ...now,
    result,
    exercised: before.exercised + now.exercised,
    failures: [...before.failures, ...now.failures],
  };
}
