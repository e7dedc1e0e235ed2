import type { Phase, Session } from './session.ts';
import type { Located, Role, TextVersion, TraceEvent } from './trace.ts';

export type Level = 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'MAY';

/** An end of the connection has come into another phase of its life, by the event before. */
export interface PhaseChange<Kind extends string> {
  readonly kind: Kind;
  readonly from: Phase;
  readonly to: Phase;
}

/** What a check can be told: an event of the trace, or a change of phase that follows from one. */
export type Fact = TraceEvent | PhaseChange<'device.phase'> | PhaseChange<'driver.phase'>;

/**
 * A check of one rule over one trace: what it does at each kind of fact. The session is as it was before an event; a change of
 * phase comes after it, with the session as it is then.
 */
export type Check = { readonly [F in Fact as F['kind']]?: (fact: Located<F>) => void } & {
  /** The trace is over. */
  readonly end?: () => void;
};

/** How a check sees the trace, and tells what it has found. */
export interface Findings {
  readonly session: Session;
  /** The rule was put to the test, and kept. */
  passed(): void;
  /** The rule was broken, in these words, by the event at hand and those that led to it. */
  failed(message: string, ...because: readonly (Located | undefined)[]): void;
}

/**
 * One requirement. Its id says what it is about, and whose it is; one that ends in a number is a sentence of the standard, in
 * our own words; one that ends in a word follows from what the section describes.
 */
interface RequirementText {
  readonly id: string;
  /** As in `§3.4.1`. */
  readonly section: string;
  readonly level: Level;
  readonly role: Role;
  readonly text: string;
  /** The level in the patch, where it is another one; null where that does not have the sentence. */
  readonly inPatch?: Level | null;
  /** The standard says it otherwise, by another rule. */
  readonly onlyInPatch?: boolean;
}

export interface Rule extends RequirementText {
  /** Makes a check for one trace. */
  check(findings: Findings): Check;
}

/** A requirement that no trace can show to be kept or broken, and why. */
export interface Unseen extends RequirementText {
  readonly unseen: string;
}

export type Requirement = Rule | Unseen;

/** The level of a requirement in one of the texts; undefined where the text does not have it. */
export function levelIn({ level, inPatch, onlyInPatch = false }: Requirement, text: TextVersion): Level | undefined {
  if (onlyInPatch) return text === 'v1' ? level : undefined;
  if (text === '1.4' || inPatch === undefined) return level;
  return inPatch ?? undefined;
}

/** Whether it is an error to break a rule of this level, or worth a warning. */
export function isStrict(level: Level): boolean {
  return level.startsWith('MUST');
}
