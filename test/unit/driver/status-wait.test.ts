import { describe, expect, it } from 'vitest';
import { faultOf, isRunning, isSuspended, type StatusWait, waitForStatus } from '../../../src/driver/status-wait.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';

interface Rig {
  readonly device: ScriptedDevice;
  readonly clock: FakeClock;
  /** When the status was read. */
  readonly looks: number[];
  wait(options?: Partial<StatusWait>): { value: unknown };
}

/** Waits for a suspend that the device does not do. */
function makeRig(): Rig {
  const device = new ScriptedDevice(GuestMemory.over(new Uint8Array(0x1000)), 2);
  const clock = new FakeClock();
  const looks: number[] = [];
  device.status = 0x1f;
  device.onRead = () => looks.push(clock.now());
  const wait = (options: Partial<StatusWait> = {}): { value: unknown } =>
    outcome(waitForStatus(device, clock, { what: 'suspend', limitMs: 1000, reached: isSuspended, ...options }));
  return { device, clock, looks, wait };
}

describe('a wait for a status', () => {
  it('looks again after a tenth of a millisecond, then each time after twice as long, up to 20 ms', async () => {
    const { clock, looks, wait } = makeRig();
    wait();
    await clock.advance(100);
    const pauses = looks.slice(1).map((at, n) => Number((at - looks[n]!).toFixed(6)));
    expect(pauses).toEqual([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20, 20]);
  });

  it('looks for the last time at its limit, when it may still succeed, and leaves no timer', async () => {
    for (const [last, result] of [
      [0x1b, 'done'],
      [0x1f, expect.objectContaining({ fault: 'limit', message: expect.stringMatching(/within 10 ms.*0x1f/) })],
    ] as const) {
      const { device, clock, looks, wait } = makeRig();
      const { onRead } = device;
      device.onRead = () => {
        onRead();
        if (clock.now() >= 10) device.status = last;
      };
      const waited = wait({ limitMs: 10 });
      await clock.advance(9.99);
      expect(waited.value).toBe('pending');
      await clock.advance(1);
      expect(waited.value).toEqual(result);
      expect(looks.at(-1)).toBe(10);
      expect(clock.pending).toBe(0);
    }
  });

  it('ends at once when it is aborted, though not over a status that is reached; nothing of it stays', async () => {
    for (const [status, result] of [
      [0x1f, expect.objectContaining({ fault: 'aborted', message: 'enough' })],
      [0x1b, 'done'],
    ] as const) {
      const { device, clock, wait } = makeRig();
      const controller = new AbortController();
      const { signal } = controller;
      let listeners = 0;
      const waited = wait({
        signal: {
          get aborted() {
            return signal.aborted;
          },
          get reason() {
            return signal.reason;
          },
          addEventListener: (type, listener) => {
            listeners++;
            signal.addEventListener(type, listener);
          },
          removeEventListener: (type, listener) => {
            listeners--;
            signal.removeEventListener(type, listener);
          },
        },
      });
      await clock.advance(50);
      expect(listeners).toBe(1);
      device.status = status;
      controller.abort('enough');
      await settle();
      expect(waited.value).toEqual(result);
      expect([listeners, clock.pending]).toEqual([0, 0]);
    }
  });

  it('asks after each answer of the device whether anybody waits, and is not told of a fault or an end by then', async () => {
    const gone = new Error('another life');
    for (const status of [0x1f, 0x1b, 0x4f]) {
      const { device, clock, wait } = makeRig();
      let asked = 0;
      const waited = wait({
        check: () => {
          asked++;
          if (device.status === status && clock.now() > 0) throw gone;
        },
      });
      await settle();
      expect(asked).toBe(2);
      device.status = status;
      await clock.advance(1);
      expect(waited.value).toBe(gone);
    }
    const { wait } = makeRig();
    let asked = 0;
    const waited = wait({
      reached: () => true,
      check: () => {
        if (++asked === 2) throw gone;
      },
    });
    await settle();
    expect(waited.value).toBe(gone);
  });
});

describe('a status', () => {
  it.each([
    [0xff, 'gone', 'status.device.gone'],
    [0x00, 'lost', 'status.device.lost'],
    [0x4f, 'needsReset', 'status.device.2'],
    [0xcf, 'needsReset', 'status.device.2'],
    [0x5b, 'needsReset', 'status.device.2'],
  ])('of 0x%x is a fault: %s', (status, fault, rule) => {
    expect(faultOf(status, 'suspend')).toMatchObject({
      fault,
      cause: { rule },
      message: expect.stringMatching(/^suspend: /),
    });
  });

  it('with FAILED is one of whoever gave the device up', () => {
    expect(faultOf(0x8f, 'resume')).toMatchObject({ fault: 'failed', cause: { name: 'StateError' } });
  });

  it.each([
    [0x0f, false, true],
    [0x1f, false, false],
    [0x1b, true, false],
    [0x0b, false, false],
    [0x2f, false, true],
    [0x3b, true, false],
  ])('of 0x%x is no fault; suspended: %s, running: %s', (status, suspended, running) => {
    expect(faultOf(status, 'suspend')).toBeUndefined();
    expect([isSuspended(status), isRunning(status)]).toEqual([suspended, running]);
  });
});
