import { describe, expect, it } from 'vitest';
import { isGuestClean } from '../../../src/cli/demo/guest-demo.ts';
import type { GuestReport } from '../../../src/cli/demo/guest-report.ts';
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

describe('the verdict on a guest', () => {
  const good: GuestReport = {
    paused: true,
    saved: true,
    restored: true,
    checksums: true,
    imageUntouched: true,
    write: {
      pid: 1,
      version: 'Debian',
      filesBefore: 24,
      inFlight: 3,
      pauseMs: 2,
      saveMs: 900,
      savedBytes: 25_000_000,
      deviceStatus: '0x0f',
    },
    restore: {
      pid: 2,
      restoreMs: 600,
      filesAfter: 48,
      badInLoad: 0,
      verified: 54,
      bad: 0,
      diskInGuest: 'same',
      diskOutside: 'same',
    },
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
});
