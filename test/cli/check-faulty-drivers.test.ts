/** `virtio check driver` with drivers of ours that have one fault each: the rule that it breaks is named. */
import { describe, expect, it } from 'vitest';
import { casesWith } from '../../src/cli/check/driver-command.ts';
import { RINGS } from '../../src/cli/check/ends.ts';
import { prepareOwnDriver } from '../../src/cli/check/own-driver.ts';
import { type CheckReport, type NamedCase, runCases } from '../../src/cli/check/run-cases.ts';
import { rules } from '../../src/monitor/rules.ts';
import { faultyDriver } from '../support/faulty-driver.ts';
import { HurriedClock } from '../support/hurried-clock.ts';
import type { DriverFault } from '../support/twin-driver.ts';
import { ruleOfDriverFault } from '../support/twin-faults.ts';

type Way = Parameters<typeof prepareOwnDriver>[0]['way'];

const settings = (['direct', 'pci', 'mmio'] as const).flatMap((way) =>
  ['split', 'packed'].map((ring) => [way, ring] as const),
);
const faults = Object.entries(ruleOfDriverFault) as [DriverFault, string][];

/** Breaks what SHOULD NOT be, and harms nothing: no case fails by it. */
const HARMLESS: DriverFault = 'suspends before DRIVER_OK';

/** What else is broken in some cases, as the fault goes on. */
const FOLLOWS: Readonly<Partial<Record<DriverFault, readonly string[]>>> = {
  // They wait in vain, and longer than anything else may take, and give their device up, which has notified for nothing or is at rest.
  'suspends without negotiation': ['split.driver.usednotif.5', 'blk.driver.op.1'],
  'waits for an equal byte': ['split.driver.usednotif.5', 'blk.driver.op.1'],
  'asks again while it waits for the resume': ['split.driver.usednotif.5', 'blk.driver.op.1', 'suspend.driver.seen'],
  // To the judge it has not been at rest when it works again, or gives up.
  'does not read the status': ['suspend.driver.3', 'suspend.driver.4', 'suspend.driver.seen'],
  // It leaves out the kick, too, or would break one more rule.
  'offers buffers while suspended': ['split.driver.availnotif.6'],
};

function check(way: Way, ring: string, fault: DriverFault): Promise<CheckReport> {
  const clock = new HurriedClock();
  const cases = casesWith(
    RINGS.filter(({ name }) => name === ring),
    (driverCase, offer) => prepareOwnDriver({ way, clock, make: faultyDriver(fault) }, driverCase, offer),
  );
  const isLong = ({ name }: NamedCase): boolean => name.includes('many suspends');
  return runCases(
    cases.filter((one) => !isLong(one)),
    { role: 'driver', text: '1.4', limitMs: 20_000, onCase: () => {} },
  );
}

describe.each(settings)('over %s, %s:', (way, ring) => {
  it.each(faults)('a driver that %s breaks %s', async (fault, rule) => {
    const report = await check(way, ring, fault);
    expect(report.ok).toBe(fault === HARMLESS);
    const broken = report.cases.map((one) => one.broken.map(({ id }) => id));
    expect(broken.filter((ids) => ids.length === 1 && ids[0] === rule)).not.toEqual([]);
    const others = new Set(broken.flat().filter((id) => id !== rule));
    expect([...others].filter((id) => FOLLOWS[fault]?.includes(id) !== true)).toEqual([]);
  });
});

it('the one that no case fails by breaks no MUST', () => {
  expect(rules.find(({ id }) => id === ruleOfDriverFault[HARMLESS])!.level).toBe('SHOULD NOT');
});
