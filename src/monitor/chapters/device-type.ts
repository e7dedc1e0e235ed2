import type { Check, Findings, Level, Unseen } from '../rule.ts';
import type { Role } from '../trace.ts';

/** A check that is for devices of one type alone. */
export function ofType(device: number, check: (findings: Findings) => Check): (findings: Findings) => Check {
  return (findings) => (findings.session.header.device === device ? check(findings) : {});
}

/** Which section sentences are of, and whom they bind. */
export interface SentencesOf {
  readonly prefix: string;
  readonly section: string;
  readonly role: Role;
}

/** Sentences of one section that no trace can show, with one reason for all of them. */
export function unseenOf(
  { prefix, section, role }: SentencesOf,
  unseen: string,
  sentences: Readonly<Record<number, readonly [level: Level, text: string]>>,
): readonly Unseen[] {
  return Object.entries(sentences).map(([n, [level, text]]) => {
    return { id: `${prefix}.${n}`, section, role, level, text, unseen };
  });
}

/** As `unseenOf`, each with a reason of its own. */
export function unseenEach(
  of: SentencesOf,
  sentences: Readonly<Record<number, readonly [level: Level, text: string, unseen: string]>>,
): readonly Unseen[] {
  return Object.entries(sentences).flatMap(([n, [level, text, unseen]]) =>
    unseenOf(of, unseen, { [Number(n)]: [level, text] }),
  );
}

/** What somebody may do, nobody can fail to. */
export const PERMISSION = 'A permission, which nobody can break.';
