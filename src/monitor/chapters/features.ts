import { Feature, type FeatureSet, featureBits, featureSet } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { undefinedBits, unmetNeed } from '../feature-tables.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located, StatusRead, StatusShown, StatusWrite } from '../trace.ts';
import { featureSets } from './feature-sets.ts';

const { FEATURES_OK, FAILED } = Status;

/** Calls `look` when the driver has made its choice: at each write that sets FEATURES_OK. */
export function atChoice({ session }: Findings, look: () => void): Check {
  return {
    'status.write': ({ value }) => {
      const isNew = (value & FEATURES_OK) !== 0 && (session.known & FEATURES_OK) === 0;
      if (isNew && (value & FAILED) === 0 && session.driver === 'initializing') look();
    },
  };
}

/** Calls `look` with the driver's choice, and whether the device has let it stand. */
function atAnswer(
  findings: Findings,
  look: (chosen: FeatureSet, granted: boolean, choice: Located<StatusWrite>) => void,
): Check {
  const { session } = findings;
  let choice: Located<StatusWrite> | undefined;
  const answer = ({ value }: StatusRead | StatusShown): void => {
    if (choice !== undefined && value !== 0) look(session.accepted, (value & FEATURES_OK) !== 0, choice);
    choice = undefined;
  };
  return {
    'status.write': (event) => {
      choice = undefined;
      atChoice(findings, () => {
        choice = event;
      })['status.write']!(event);
    },
    'status.read': answer,
    'status.shown': answer,
  };
}

/** A device may refuse a driver that does not accept these (§6.2), if it offers them. */
const REFUSABLE: FeatureSet = featureSet(Feature.VERSION_1, Feature.ACCESS_PLATFORM, Feature.ORDER_PLATFORM);

function isValid({ session }: Findings, chosen: FeatureSet): boolean {
  const { offered, header } = session;
  return (chosen & ~offered) === 0n && unmetNeed(chosen, header.device) === undefined;
}

/** Feature bits (§2.2). */
export const features: readonly Requirement[] = [
  {
    id: 'features.driver.1',
    section: '§2.2.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Nothing is accepted that is not offered.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        const foreign = featureBits(session.accepted & session.offeredKnown & ~session.offered);
        if (foreign.length > 0) failed(`feature ${foreign.join(', ')} is accepted but not offered`);
        else if (session.offeredKnown !== 0n) passed();
      });
    },
  },
  {
    id: 'features.driver.2',
    section: '§2.2.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Nothing is accepted without what it requires.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        const unmet = unmetNeed(session.accepted, session.header.device);
        if (unmet === undefined) passed();
        else failed(`feature ${unmet.bit} is accepted without ${unmet.needs.join(' or ')}`);
      });
    },
  },
  {
    id: 'features.driver.3',
    section: '§2.2.1',
    level: 'MUST',
    role: 'driver',
    text: 'What is offered is checked for sense.',
    unseen: 'A check is inside the driver; what it accepts is judged by the rules before this one.',
  },
  {
    id: 'features.driver.4',
    section: '§2.2.1',
    level: 'MUST',
    role: 'driver',
    text: 'Offered bits that mean nothing for the device, or its transport, are ignored.',
    unseen: 'To ignore is not to accept, which is features.driver.5.',
  },
  {
    id: 'features.driver.5',
    section: '§2.2.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'No bit is accepted that means nothing for the device, or its transport.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        const bits = undefinedBits(session.accepted, session.header.device);
        if (bits.length === 0) passed();
        else failed(`feature ${bits.join(', ')} is accepted, which device type ${session.header.device} does not have`);
      });
    },
  },
  {
    id: 'features.driver.7',
    section: '§2.2.1',
    level: 'MUST',
    role: 'driver',
    text: 'A driver that cannot work without a missing feature sets FAILED and stops.',
    unseen: 'Why a driver stops is inside it, and a trace that ends early looks the same.',
  },
  ...featureSets,
  {
    id: 'features.device.1',
    section: '§2.2.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'Nothing is offered without what it requires.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        const unmet = unmetNeed(session.offered, session.header.device);
        if (unmet !== undefined && session.knows(unmet.needs[0]!)) {
          failed(`feature ${unmet.bit} is offered without ${unmet.needs.join(' or ')}`);
        } else if (session.offeredKnown !== 0n) passed();
      });
    },
  },
  {
    id: 'features.device.2',
    section: '§2.2.2',
    level: 'SHOULD',
    role: 'device',
    text: 'Every choice among the offered bits that makes sense is let stand.',
    check: (findings) =>
      atAnswer(findings, (chosen, granted, choice) => {
        const mayRefuse = (findings.session.offered & REFUSABLE & ~chosen) !== 0n;
        if (granted) findings.passed();
        else if (isValid(findings, chosen) && !mayRefuse) findings.failed('a valid choice is refused', choice);
      }),
  },
  {
    id: 'features.device.3',
    section: '§2.2.2',
    level: 'MUST',
    role: 'device',
    text: 'A choice that cannot be is refused: FEATURES_OK does not stay set.',
    check: (findings) =>
      atAnswer(findings, (chosen, granted, choice) => {
        const { session, passed, failed } = findings;
        const foreign = featureBits(chosen & session.offeredKnown & ~session.offered);
        if (foreign.length === 0) return;
        if (granted) failed(`feature ${foreign.join(', ')} was not offered, and is let stand`, choice);
        else passed();
      }),
  },
  {
    id: 'features.device.4',
    section: '§2.2.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'Nothing is offered that the device could not do if it were accepted.',
    unseen: 'What a device can do shows when it is used, by the rules of that feature.',
  },
  {
    id: 'features.device.5',
    section: '§2.2.2',
    level: 'SHOULD NOT',
    role: 'device',
    text: 'A choice that was let stand once is not refused after a reset.',
    check: (findings) => {
      const granted = new Map<FeatureSet, Located>();
      return atAnswer(findings, (chosen, isGranted, choice) => {
        const before = granted.get(chosen);
        if (isGranted) granted.set(chosen, choice);
        if (before === undefined) return;
        if (isGranted) findings.passed();
        else findings.failed('a choice is refused that was let stand before', before, choice);
      });
    },
  },
  {
    id: 'features.device.defined',
    section: '§2.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'No bit is offered that means nothing for the device.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        const bits = undefinedBits(session.offered, session.header.device);
        if (bits.length > 0) failed(`feature ${bits.join(', ')} is offered`);
        else if (session.offeredKnown !== 0n) passed();
      });
    },
  },
];
