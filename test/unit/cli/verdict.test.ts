import { describe, expect, it } from 'vitest';
import { isGuestClean, isLinuxClean, linuxReport } from '../../../src/cli/demo/guest-demo.ts';
import type { GuestReport, LinuxReport, SuspendReport } from '../../../src/cli/demo/guest-report.ts';
import { isClean, type LoopbackReport, percentiles, report } from '../../../src/cli/demo/loopback-report.ts';
import type { LoadCounts } from '../../../src/cli/demo/tagged-load.ts';

const RUN = { cycles: 10, moved: 1, statuses: ['0x0f'], mostInFlight: 8, drainsUs: [3, 1, 2] };
const COUNTS: LoadCounts = { requests: 100, writes: 50, settled: 100, wrong: 0, firstError: undefined };
const ON_DISK = { executed: 50, repeated: 0 };
const GOOD: LoopbackReport = report(COUNTS, ON_DISK, RUN);

describe('the verdict on a loopback load', () => {
  it('is good when every request was completed once, with the right bytes', () => {
    expect(GOOD).toEqual({
      requests: 100,
      cycles: 10,
      moved: 1,
      lost: 0,
      duplicated: 0,
      wrong: 0,
      firstError: null,
      statuses: ['0x0f'],
      drainUs: { p50: 2, p99: 3, max: 3 },
      mostInFlight: 8,
    });
    expect(isClean(GOOD)).toBe(true);
  });

  it.each([
    ['a request was never answered', { ...COUNTS, settled: 99 }, ON_DISK, { lost: 1 }],
    ['a write never reached the disk', COUNTS, { executed: 48, repeated: 0 }, { lost: 2 }],
    ['a write reached the disk twice', COUNTS, { executed: 50, repeated: 1 }, { duplicated: 1 }],
    [
      'an answer was wrong',
      { ...COUNTS, wrong: 1, firstError: new Error('why') },
      ON_DISK,
      { wrong: 1, firstError: 'why' },
    ],
    [
      'nothing was done',
      { ...COUNTS, requests: 0, writes: 0, settled: 0 },
      { executed: 0, repeated: 0 },
      { requests: 0 },
    ],
  ])('is bad when %s', (_, counts, onDisk, found) => {
    const bad = report(counts, onDisk, RUN);
    expect(bad).toMatchObject(found);
    expect(isClean(bad)).toBe(false);
  });

  it('does not let one fault hide behind another', () => {
    // One request without an answer, and one write more on the disk than was asked for.
    expect(report({ ...COUNTS, settled: 99 }, { executed: 51, repeated: 0 }, RUN).lost).toBe(1);
    expect(isClean(report({ ...COUNTS, settled: 101 }, { executed: 49, repeated: 0 }, RUN))).toBe(false);
  });

  it('has nearest-rank percentiles', () => {
    const samples = Array.from({ length: 200 }, (_, n) => 200 - n);
    expect(percentiles(samples)).toEqual({ p50: 100, p99: 198, max: 200 });
    expect(percentiles([7])).toEqual({ p50: 7, p99: 7, max: 7 });
    expect(percentiles([])).toEqual({ p50: 0, p99: 0, max: 0 });
  });
});

const MOVED = { saved: true, restored: true, checksums: true, imageUntouched: true };
const WRITE = {
  pid: 1,
  version: 'Debian',
  filesBefore: 24,
  saveMs: 900,
  savedBytes: 25_000_000,
  deviceStatus: '0x0f',
  resets: 0,
};
const RESTORE = {
  pid: 2,
  restoreMs: 600,
  filesAfter: 48,
  badInLoad: 0,
  verified: 54,
  bad: 0,
  diskInGuest: 'same',
  diskOutside: 'same',
  resets: 0,
};

describe('the verdict on a guest', () => {
  const good: GuestReport = {
    paused: true,
    ...MOVED,
    write: { ...WRITE, inFlight: 3, pauseMs: 2 },
    restore: RESTORE,
  };

  it('is good when all of it is', () => {
    expect(isGuestClean(good)).toBe(true);
  });

  it.each(['paused', 'saved', 'restored', 'checksums', 'imageUntouched'] as const)(
    'is bad when %s is not so',
    (name) => {
      expect(isGuestClean({ ...good, [name]: false })).toBe(false);
    },
  );

  it('is bad when the device was reset', () => {
    expect(isGuestClean({ ...good, write: { ...good.write, resets: 1 } })).toBe(false);
    expect(isGuestClean({ ...good, restore: { ...RESTORE, resets: 1 } })).toBe(false);
  });
});

describe('the verdict on a Linux that suspends its disk', () => {
  const cycle = ['0x0f', '0x1f', '0x1b', '0x1f', '0x0f'];
  const suspended: SuspendReport = {
    negotiated: true,
    cycles: 20,
    statuses: ['0x0f', '0x1f', '0x1b'],
    drainsUs: [100, 300, 200],
    mostInFlight: 2,
  };
  const resumed = {
    ...suspended,
    cycles: 1,
    statuses: ['0x1b', '0x1f', '0x0f'],
    drainsUs: [400],
    mostInFlight: 1,
    sleep: { suspendMs: 500, asleepMs: 1500, wakeMs: 20, statuses: cycle },
    counted: { cycles: 22, failures: 0, resets: 0 },
  };

  function judged(write: Partial<typeof suspended & typeof WRITE>, restore: object = {}): LinuxReport {
    return linuxReport({ ...WRITE, ...suspended, ...write }, { ...RESTORE, ...resumed, ...restore }, MOVED);
  }

  it('puts together what both processes have seen', () => {
    const good = judged({});
    expect(good).toEqual({
      negotiated: true,
      cycles: 22,
      lost: 0,
      resets: 0,
      statuses: cycle,
      drainUs: { p50: 200, p99: 400, max: 400 },
      mostInFlight: 2,
      sleep: resumed.sleep,
      counted: resumed.counted,
      ...MOVED,
      write: WRITE,
      restore: RESTORE,
    });
    expect(isLinuxClean(good)).toBe(true);
  });

  it.each([
    ['the first process saw no negotiation', { negotiated: false }, {}, { negotiated: false }],
    ['the second process saw none', {}, { negotiated: false }, { negotiated: false }],
    ['a file was wrong when it was read back', {}, { badInLoad: 1 }, { lost: 1 }],
    ['a file was lost', {}, { bad: 2 }, { lost: 2 }],
    ['the device was reset', { resets: 1 }, {}, { resets: 1 }],
    ['the device was reset in the second process', {}, { resets: 2 }, { resets: 2 }],
    ['the disk was not suspended when it was saved', { statuses: ['0x0f', '0x1f'] }, {}, { cycles: 21 }],
    ['another status was restored than saved', {}, { statuses: ['0x0f'] }, { cycles: 21 }],
    ['a cycle went another way', { cycles: 19 }, {}, { cycles: 21 }],
    ['Linux counted a failure', {}, { counted: { cycles: 22, failures: 1, resets: 0 } }, {}],
    ['Linux counted a reset', {}, { counted: { cycles: 22, failures: 0, resets: 1 } }, {}],
    ['it did not suspend to sleep', {}, { sleep: { ...resumed.sleep, statuses: ['0x0f'] } }, {}],
  ])('is bad when %s', (_, write, restore, found) => {
    const bad = judged(write, restore);
    expect(bad).toMatchObject(found);
    expect(isLinuxClean(bad)).toBe(false);
  });

  it.each(['saved', 'restored', 'checksums', 'imageUntouched'] as const)('is bad when %s is not so', (name) => {
    expect(isLinuxClean({ ...judged({}), [name]: false })).toBe(false);
  });
});
