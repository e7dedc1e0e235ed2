import { afterEach, beforeEach, type RunnerTestCase } from 'vitest';

/** What Stryker keeps in a thread, and we besides it. A thread runs all files for one mutant. */
const thread = globalThis as { __stryker__?: { mutantCoverage?: Record<string, object> }; mutantWasNoticed?: boolean };

// A failure is enough. Without this the files that are left would be imported all the same, which takes longer than most tests.
if (thread.mutantWasNoticed === true) throw new Error('not run: an earlier file has noticed the mutant');
afterEach(({ task }) => {
  if (task.result?.state === 'fail') thread.mutantWasNoticed = true;
});

// Stryker asks at the end of each file what was covered, and adds it up: the files before are not to be counted again, or
// counts would be too high to notice a loop by.
for (const covered of Object.values(thread.__stryker__?.mutantCoverage ?? {})) {
  for (const key of Object.keys(covered)) Reflect.deleteProperty(covered, key);
}

// Many tests run over each way to a device and with each kind of ring, which a mutant of what is common meets in the same manner.
const OTHER_WAY = /\b(pci (io|memory|msix|window)|vfio-user|mmio)\b/;
const RING = /(split|packed), (direct|indirect), (flags|event index)(, in order)?/;
const RINGS = ['split, direct, flags', 'packed, indirect, event index'];

if (process.env.MUTATION_TESTS === 'quick') {
  beforeEach(({ task, skip }) => {
    const name = fullName(task);
    const ring = RING.exec(name)?.[0];
    skip(OTHER_WAY.test(name), 'the same over another way');
    skip(ring !== undefined && !RINGS.includes(ring), 'the same with other rings');
  });
}

function fullName({ name, suite }: Pick<RunnerTestCase, 'name' | 'suite'>): string {
  return suite === undefined ? name : `${fullName(suite)} ${name}`;
}
