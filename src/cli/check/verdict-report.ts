import type { Failure, Verdict } from '../../monitor/judge.ts';
import { isStrict, type Level } from '../../monitor/rule.ts';
import type { Role } from '../../monitor/trace.ts';
import type { BadLine } from '../../monitor/trace-format.ts';

/** What was found about one rule, as plain values. */
export interface RuleReport {
  readonly id: string;
  readonly section: string;
  readonly level: Level;
  readonly role: Role;
  readonly text: string;
  readonly result: 'pass' | 'warning' | 'fail' | 'not exercised';
  readonly exercised: number;
  readonly failures: readonly Failure[];
}

export interface TraceReport {
  readonly ok: boolean;
  readonly text: string;
  readonly lines: number;
  readonly badLines: readonly BadLine[];
  readonly rules: readonly RuleReport[];
}

/** A rule that is broken is an error for a MUST, a warning for a SHOULD. */
export function ruleReport({ rule, level, result, exercised, failures }: Verdict): RuleReport {
  const { id, section, role, text } = rule;
  const shown = result === 'fail' && !isStrict(level) ? 'warning' : result;
  return { id, section, level, role, text, result: shown, exercised, failures };
}

export function count(rules: readonly RuleReport[], result: RuleReport['result']): number {
  return rules.filter((rule) => rule.result === result).length;
}
