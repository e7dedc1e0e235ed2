import { Judge, type Verdict } from '../../monitor/judge.ts';
import { isStrict } from '../../monitor/rule.ts';
import { rules } from '../../monitor/rules.ts';
import type { Role, TextVersion } from '../../monitor/trace.ts';
import { TraceReader } from '../../monitor/trace-format.ts';
import { TransportError } from '../../spec/fault.ts';
import { count, type RuleReport, ruleReport } from './verdict-report.ts';

/** What became of one case. */
export interface CaseReport {
  readonly name: string;
  readonly result: 'pass' | 'fail' | 'not exercised';
  /** What did not come about, if anything; why it was not run. */
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
  /** Called when it is over; when it took too long, too. */
  close?(): Promise<void> | void;
}

/** A case that makes its own device and driver when its turn comes. */
export interface NamedCase {
  readonly name: string;
  /** Why it cannot be run, if it cannot. */
  readonly whyNot?: string | undefined;
  prepare(): Promise<CheckCase>;
}

export interface RunOptions {
  readonly role: Role;
  readonly text: TextVersion;
  /** How long the other end may take for one case. */
  readonly limitMs: number;
  onCase(name: string, done: number): void;
}

/** Runs cases one after the other, and judges what `role` did in each. Once the other end cannot be reached no more are run. */
export async function runCases(cases: readonly NamedCase[], options: RunOptions): Promise<CheckReport> {
  const { role, text, onCase } = options;
  const reports: CaseReport[] = [];
  const merged = new Map<string, RuleReport>();
  let gone: string | undefined;
  for (const [index, { name, whyNot = gone, prepare }] of cases.entries()) {
    if (whyNot !== undefined) {
      reports.push({ name, result: 'not exercised', message: whyNot, broken: [], trace: [] });
      continue;
    }
    onCase(name, index / cases.length);
    const { message, trace } = await run(prepare, options.limitMs);
    if (trace === undefined) {
      gone = `the ${role} cannot be reached any more`;
      reports.push({ name, result: 'fail', message: message!, broken: [], trace: [] });
      continue;
    }
    const verdicts = judge(trace, text).filter(({ rule }) => rule.role === role);
    const found = verdicts.map(ruleReport);
    for (const report of found) merged.set(report.id, merge(merged.get(report.id), report));
    const broken = found.filter(({ failures }) => failures.length > 0);
    const result = message === undefined && !broken.some(({ level }) => isStrict(level)) ? 'pass' : 'fail';
    reports.push({ name, result, ...(message === undefined ? {} : { message }), broken, trace });
  }
  const all = [...merged.values()];
  return {
    ok: reports.every(({ result }) => result !== 'fail') && count(all, 'fail') === 0,
    text,
    cases: reports,
    rules: all,
  };
}

/** What the other end does may come up anywhere: it is a result like any other. No trace: it could not be reached. */
async function run(
  prepare: NamedCase['prepare'],
  limitMs: number,
): Promise<{ readonly message?: string; readonly trace?: readonly string[] }> {
  let prepared: CheckCase | undefined;
  try {
    prepared = await within(limitMs, prepare());
    await within(limitMs, prepared.run());
    return { trace: prepared.trace };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return prepared === undefined ? { message } : { message, trace: prepared.trace };
  } finally {
    await prepared?.close?.();
  }
}

/** Rejects when it takes too long; what comes then is nobody's. */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `the other end did not answer: it may take ${limitMs / 1000} s`;
    timer = setTimeout(() => reject(new TransportError(message)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
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
