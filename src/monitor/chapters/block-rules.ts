import { DeviceId } from '../../spec/device-ids.ts';
import { type BlockAnswer, type BlockRequest, onRequests } from '../block-requests.ts';
import type { Level, Rule } from '../rule.ts';
import type { Session } from '../session.ts';
import { ofType, type SentencesOf } from './device-type.ts';

/** What is wrong; undefined when nothing is, and `other` where the rule is not about this. */
type Judged = string | undefined | 'other';
export type JudgeRequest = (request: BlockRequest, session: Session) => Judged;
export type JudgeAnswer = (request: BlockRequest, answer: BlockAnswer, session: Session) => Judged;

/** Rules about each request of a block driver by itself: sentences of one section, as in `unseenOf`. */
export function requestRules(
  of: SentencesOf,
  sentences: Readonly<Record<number, readonly [level: Level, text: string, judge: JudgeRequest]>>,
): readonly Rule[] {
  return Object.entries(sentences).map(([n, [level, text, judge]]) => ({
    ...ruleText(of, n, level, text),
    check: ofType(DeviceId.BLOCK, (findings) =>
      onRequests(findings, {
        asked: (request) => {
          const wrong = judge(request, findings.session);
          if (wrong === undefined) findings.passed();
          else if (wrong !== 'other') findings.failed(wrong);
        },
      }),
    ),
  }));
}

/** Rules about each answer of a block device by itself. */
export function answerRules(
  of: SentencesOf,
  sentences: Readonly<Record<number, readonly [level: Level, text: string, judge: JudgeAnswer]>>,
): readonly Rule[] {
  return Object.entries(sentences).map(([n, [level, text, judge]]) => ({
    ...ruleText(of, n, level, text),
    check: ofType(DeviceId.BLOCK, (findings) =>
      onRequests(findings, {
        answered: (request, answer) => {
          const wrong = answer === undefined ? 'other' : judge(request, answer, findings.session);
          if (wrong === undefined) findings.passed();
          else if (wrong !== 'other') findings.failed(wrong, request.event);
        },
      }),
    ),
  }));
}

function ruleText({ prefix, section, role }: SentencesOf, n: string, level: Level, text: string): Omit<Rule, 'check'> {
  return { id: `${prefix}.${n}`, section, role, level, text };
}

/** A judge of answers whose status has to be one of some. */
export function expectStatus(
  when: (request: BlockRequest, session: Session) => boolean,
  ...wanted: readonly number[]
): JudgeAnswer {
  return (request, { status }, session) => {
    if (!when(request, session)) return 'other';
    return wanted.includes(status) ? undefined : `a request of type ${request.type} ends with status ${status}`;
  };
}
