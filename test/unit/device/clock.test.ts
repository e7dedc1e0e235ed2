import { expect, it } from 'vitest';
import { systemClock } from '../../../src/device/clock.ts';

it('the clock of the system calls back once, not before its time, and never when it was cancelled', async () => {
  const calls: string[] = [];
  const start = systemClock.now();
  const cancel = systemClock.after(5, () => calls.push('cancelled'));
  cancel();
  await new Promise<void>((resolve) => {
    systemClock.after(20, () => {
      calls.push('in time');
      resolve();
    });
  });
  // A timer counts whole milliseconds, and may be early by a part of one.
  expect(systemClock.now() - start).toBeGreaterThan(18);
  expect(calls).toEqual(['in time']);
});
