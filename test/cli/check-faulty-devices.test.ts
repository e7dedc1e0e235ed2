/** `virtio check device` with devices of ours that have one fault each: the rule that it breaks is named, and no other. */
import { describe, expect, it } from 'vitest';
import { RINGS } from '../../src/cli/check/ends.ts';
import { ownCases } from '../../src/cli/check/own-device.ts';
import { type CheckReport, type NamedCase, runCases } from '../../src/cli/check/run-cases.ts';
import { faultyDevice } from '../support/faulty-device.ts';
import { HurriedClock } from '../support/hurried-clock.ts';
import type { DeviceFault } from '../support/twin-device.ts';
import { ruleOfDeviceFault } from '../support/twin-faults.ts';

type Way = Parameters<typeof ownCases>[0]['way'];

const settings = (['direct', 'pci'] as const).flatMap((way) => ['split', 'packed'].map((ring) => [way, ring] as const));
const faults = Object.entries(ruleOfDeviceFault) as [DeviceFault, string][];
/** What else is broken in some cases, as the fault goes on. */
const FOLLOWS: Readonly<Partial<Record<DeviceFault, readonly string[]>>> = {
  // It is the buffer that it could not end.
  'shows a suspend that failed as one that is done': ['suspend.device.11'],
};
/** Long, and about numbers. */
const isLong = ({ name }: NamedCase): boolean => name.includes('hundred suspends');

function check(way: Way, ring: string, fault?: DeviceFault): Promise<CheckReport> {
  const make = fault === undefined ? {} : { make: faultyDevice(fault) };
  const rings = RINGS.filter(({ name }) => name === ring);
  const cases = ownCases({ way, rings, clock: new HurriedClock(), ...make });
  return runCases(
    cases.filter((one) => !isLong(one)),
    { role: 'device', text: '1.4', limitMs: 20_000, onCase: () => {} },
  );
}

function broken({ cases }: CheckReport): ReadonlySet<string> {
  return new Set(cases.flatMap((one) => one.broken.map(({ id }) => id)));
}

describe.each(settings)('over %s, %s:', (way, ring) => {
  it('a device without a fault passes', async () => {
    const report = await check(way, ring);
    expect([report.ok, broken(report)]).toEqual([true, new Set()]);
  });

  it.each(faults)('a device that %s breaks %s', async (fault, named) => {
    const report = await check(way, ring, fault);
    expect(report.ok).toBe(false);
    const rule = ring === 'packed' ? named.replace(/^split/, 'packed') : named;
    expect(broken(report)).toEqual(new Set([rule, ...(FOLLOWS[fault] ?? [])]));
  });
});
