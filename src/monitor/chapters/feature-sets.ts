import { Feature, type FeatureSet, featureBits, featureSet } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { undefinedBits } from '../feature-tables.ts';
import type { Findings, Rule } from '../rule.ts';

const { FAILED } = Status;

/** A life of a driver that worked: what was offered to it, and what it took of that. */
interface Worked {
  readonly offered: FeatureSet;
  readonly accepted: FeatureSet;
}

/** Compares what a driver does with one offer with what it has done with others before: why it gives up, a single one does not show. */
function withOffers(
  { session }: Findings,
  { works, givesUp }: { works: (before: readonly Worked[]) => void; givesUp: (before: readonly Worked[]) => void },
): ReturnType<Rule['check']> {
  const before: Worked[] = [];
  return {
    'status.write': ({ value }) => {
      const isKnown = session.offeredKnown !== 0n && session.driver === 'initializing' && !session.refused;
      if ((value & FAILED) !== 0 && isKnown) givesUp(before);
    },
    'driver.phase': ({ from, to }) => {
      if (from !== 'initializing' || to !== 'running' || session.offeredKnown === 0n) return;
      works(before);
      before.push({ offered: session.offered, accepted: session.negotiated });
    },
  };
}

/** What a driver makes of features that come and go between its lives (§2.2.1). */
export const featureSets: readonly Rule[] = [
  {
    id: 'features.driver.6',
    section: '§2.2.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'Where a feature is missing the driver works without it.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      // Without VERSION_1 it is another device.
      const missing = (accepted: FeatureSet): FeatureSet =>
        accepted & ~session.offered & ~featureSet(Feature.VERSION_1);
      return withOffers(findings, {
        works: (before) => before.some(({ accepted }) => missing(accepted) !== 0n) && passed(),
        givesUp: (before) => {
          const same = before.find(
            ({ accepted, offered }) => missing(accepted) !== 0n && (session.offered & ~offered) === 0n,
          );
          const has = (session.offered & featureSet(Feature.VERSION_1)) !== 0n;
          if (same !== undefined && has)
            failed(
              `the driver gives up without feature ${featureBits(missing(same.accepted)).join(', ')}`,
              session.driverSince,
            );
        },
      });
    },
  },
  {
    id: 'features.driver.8',
    section: '§2.2.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'An unknown bit that is offered is no reason to give up.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      const unknown = (): readonly number[] => undefinedBits(session.offered, session.header.device);
      return withOffers(findings, {
        works: () => unknown().length > 0 && passed(),
        givesUp: (before) => {
          const known = session.offered & ~featureSet(...unknown());
          // It has worked with the same but for those bits.
          if (unknown().length > 0 && before.some(({ offered }) => offered === known))
            failed(`the driver gives up when feature ${unknown().join(', ')} is offered`, session.driverSince);
        },
      });
    },
  },
];
