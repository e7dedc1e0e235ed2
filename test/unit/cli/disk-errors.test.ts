import { expect, it } from 'vitest';
import { DiskErrors } from '../../../src/cli/serve/disk-errors.ts';
import type { ImageEvent } from '../../../src/cli/serve/open-disk.ts';

it('errors of a disk are all counted, and told once in a second of each operation', () => {
  const told: ImageEvent[] = [];
  let nowMs = 0;
  const errors = new DiskErrors(
    (event) => told.push(event),
    () => nowMs,
  );
  for (nowMs = 0; nowMs < 1000; nowMs += 10) errors.add('write', new Error(`no room at ${nowMs}`));
  errors.add('read', new Error('not there'));
  errors.add('write', new Error('still no room'));
  nowMs += 1000;
  errors.add('write', new Error('and now'));
  expect(told).toEqual([
    { event: 'disk-error', operation: 'write', reason: 'no room at 0' },
    { event: 'disk-error', operation: 'read', reason: 'not there' },
    { event: 'disk-error', operation: 'write', reason: 'still no room', untold: 99 },
    { event: 'disk-error', operation: 'write', reason: 'and now' },
  ]);
  expect(errors.count).toBe(103);
});
