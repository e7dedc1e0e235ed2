import { Feature } from '../../spec/features.ts';
import { type ChainDescriptor, entriesOf, isWritable, type RingFormat } from '../chains.ts';
import type { Findings, Rule } from '../rule.ts';
import { chainOf } from '../split-ring.ts';
import type { BufferAvailable } from '../trace.ts';

/** What each chain has to be that a driver makes available; `mistake` says what is wrong with one. */
export function chainRule(
  rule: Pick<Rule, 'id' | 'section' | 'level' | 'text'>,
  mistake: (
    chain: readonly ChainDescriptor[],
    findings: Findings,
    event: BufferAvailable,
  ) => string | undefined | 'other',
): Rule {
  return {
    ...rule,
    role: 'driver',
    check: (findings) => ({
      'buffer.available': (event) => {
        const chain = chainOf(findings.session, event);
        if (chain.length === 0) return;
        const wrong = mistake(chain, findings, event);
        if (wrong === undefined) findings.passed();
        else if (wrong !== 'other') findings.failed(wrong);
      },
    }),
  };
}

/** What each indirect table has to be, as far as a trace has it. */
export function tableRule(
  format: RingFormat,
  rule: Pick<Rule, 'id' | 'section' | 'level' | 'text'>,
  mistake: (table: readonly ChainDescriptor[], findings: Findings) => string | undefined | 'other',
): Rule {
  return {
    ...rule,
    role: 'driver',
    check: (findings) => ({
      'buffer.available': (event) => {
        const { session } = findings;
        const table = session.contentsOf(event, 'driver')?.table;
        if (table === undefined || session.has(Feature.RING_PACKED) !== (format === 'packed')) return;
        const wrong = mistake(entriesOf(table, format), findings);
        if (wrong === undefined) findings.passed();
        else if (wrong !== 'other') findings.failed(wrong);
      },
    }),
  };
}

/** Something for the device to read comes behind something for it to write. */
export function isMixed(segments: readonly ChainDescriptor[]): boolean {
  const firstWritable = segments.findIndex(isWritable);
  return firstWritable >= 0 && firstWritable < segments.findLastIndex((segment) => !isWritable(segment));
}
