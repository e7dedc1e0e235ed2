import { describe, expect, it } from 'vitest';
import { isCycle, StatusWatch } from '../../../src/cli/demo/status-watch.ts';
import type { Device } from '../../../src/device/device.ts';

/** A device of which only the status and its observer are used. */
class StatusRegister {
  status = 0x0f;
  inFlight = 0;
  observer: Device['observer'];

  write(value: number, shown: number = value): void {
    this.observer?.statusWritten?.(value);
    this.show(shown);
  }

  show(status: number): void {
    if (this.status === status) return;
    this.status = status;
    this.observer?.statusShown?.(status);
  }
}

function watched(status = 0x0f): { watch: StatusWatch; register: StatusRegister } {
  const watch = new StatusWatch();
  const register = new StatusRegister();
  register.status = status;
  watch.attach(register as unknown as Device);
  return { watch, register };
}

describe('what is seen of a status register', () => {
  it('is a cycle when it has all five values', () => {
    const { watch, register } = watched();
    for (let cycle = 1; cycle <= 3; cycle++) {
      register.inFlight = cycle;
      register.write(0x1f);
      register.inFlight = 0;
      register.show(0x1b);
      register.write(0x1f, 0x0f);
      expect(watch.statuses).toEqual(['0x0f', '0x1f', '0x1b', '0x1f', '0x0f']);
    }
    expect(watch).toMatchObject({ cycles: 3, resets: 0, mostInFlight: 3 });
    expect(watch.drainsUs.length).toBe(3);
  });

  it('is no cycle when the device was never suspended, or was reset for it', () => {
    const { watch, register } = watched();
    register.write(0x1f);
    register.show(0x0f);
    expect(watch.statuses).toEqual(['0x0f', '0x1f', '0x0f']);
    register.write(0x1f);
    register.show(0x5f);
    register.write(0, 0);
    for (const value of [0x01, 0x03, 0x0b, 0x0f]) register.write(value);
    expect(watch).toMatchObject({ cycles: 0, resets: 1, drainsUs: [] });
  });

  it('begins with the status that was restored', () => {
    const { watch, register } = watched(0x1b);
    register.write(0x1f, 0x0f);
    expect(watch.statuses).toEqual(['0x1b', '0x1f', '0x0f']);
    expect(watch.cycles).toBe(0);
    expect(isCycle(['0x0f', '0x1f', ...watch.statuses])).toBe(true);
  });

  it('goes on with the device that took over', () => {
    const { watch, register } = watched();
    register.write(0x1f);
    register.show(0x1b);
    const next = new StatusRegister();
    next.status = 0;
    watch.attach(next as unknown as Device);
    next.show(0x1b);
    next.write(0x1f, 0x0f);
    expect(watch.cycles).toBe(1);
    expect(watch.drainsUs.length).toBe(1);
  });

  it('tells who waits for a status', async () => {
    const { watch, register } = watched();
    const suspended = watch.next(0x1b);
    register.write(0x1f);
    register.show(0x1b);
    await suspended;
  });
});
