import { describe, expect, it } from 'vitest';
import { LoopClock } from '../../../../src/hosts/vhost-user/loop-clock.ts';
import { Patience } from '../../../../src/hosts/vhost-user/patience.ts';

describe('patience', () => {
  it('is none for a device that is idle, and grows when kicks come soon', () => {
    const patience = new Patience(0.05);
    patience.looked('nothing', 0);
    patience.slept(0, 10);
    expect(patience.ms).toBe(0);
    const grown = [20, 30, 40, 50, 60].map((at) => {
      patience.slept(at - 0.02, at);
      patience.looked('found', at);
      return patience.ms;
    });
    expect(grown).toEqual([0.008, 0.016, 0.032, 0.05, 0.05]);
  });

  it('ends for a while when others need the processor', () => {
    const patience = new Patience(0.05);
    patience.looked('preempted', 10);
    patience.slept(10, 10.01);
    expect(patience.ms).toBe(0);
    patience.slept(110, 110.01);
    expect(patience.ms).toBe(0.008);
  });

  it('ends for a while when kicks come only once the thread sleeps', () => {
    const patience = new Patience(0.05);
    let at = 0;
    for (let n = 0; n < 4; n++) {
      expect(patience.ms).toBe(0.05);
      patience.looked('nothing', at);
      patience.slept(at, at + 0.01);
      at += 0.01;
    }
    expect(patience.ms).toBe(0);
    patience.slept(at, at + 0.01);
    expect(patience.ms).toBe(0);
  });
});

describe('a clock for a loop', () => {
  it('says how long there is to wait, and calls back in the order of time', () => {
    const clock = new LoopClock();
    expect(clock.waitMs).toBe(-1);
    const log: string[] = [];
    clock.after(100_000, () => log.push('late'));
    clock.after(0, () => log.push('first'));
    const cancel = clock.after(0, () => log.push('cancelled'));
    clock.after(0, () => {
      log.push('second');
      clock.after(0, () => log.push('third'));
    });
    cancel();
    expect(clock.waitMs).toBe(0);
    while (log.length < 3) clock.run();
    expect(log).toEqual(['first', 'second', 'third']);
    expect(clock.waitMs).toBeGreaterThan(90_000);
  });
});
