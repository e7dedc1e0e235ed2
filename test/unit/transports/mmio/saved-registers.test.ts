import { describe, expect, it } from 'vitest';
import { type Sealed, seal } from '../../../../src/device/sealed.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { Mmio } from '../../../../src/spec/mmio.ts';
import { damaged, type Json } from '../../../support/damaged.ts';
import { MmioRig } from './mmio-rig.ts';

const FORMAT = 'virtio-mmio registers';
const REGION = { id: 5, address: 0x1000_0000, length: 0x1000 };

/** Registers that were suspended after some work, with an interrupt pending and selectors set, and their saved state. */
function suspended(): { rig: MmioRig; state: Sealed<{ readonly [name: string]: Json }> } {
  const rig = new MmioRig({ sharedMemory: [REGION] }).start();
  rig.use();
  rig.write(Mmio.SHM_SEL, 5);
  rig.write(Mmio.QUEUE_SEL, 1);
  rig.write(Mmio.STATUS, 0x1f);
  expect(rig.status).toBe(0x1b);
  return { rig, state: JSON.parse(JSON.stringify(rig.mmio.save())) };
}

/** Registers to restore into, over memory as it was. */
function successor(of: MmioRig): MmioRig {
  const next = new MmioRig({ sharedMemory: [REGION] });
  next.memory.regions[0]!.bytes.set(of.memory.regions[0]!.bytes);
  return next;
}

/** True when a state was taken. Anything but a StateError fails the test, as does one that changed something. */
function restores(next: MmioRig, state: unknown, where: string): boolean {
  try {
    next.mmio.restore(state);
    return true;
  } catch (error) {
    expect(error, where).toBeInstanceOf(StateError);
    expect([next.status, next.mmio.interruptLine], where).toEqual([0, false]);
    return false;
  }
}

describe('the saved state of MMIO registers', () => {
  it('is plain data, and goes on in others as if nothing had been', () => {
    const { rig, state } = suspended();
    const next = successor(rig);
    next.mmio.restore(state);
    expect(JSON.parse(JSON.stringify(next.mmio.save()))).toEqual(state);
    expect([next.line, next.read(Mmio.INTERRUPT_STATUS), next.read(Mmio.SHM_LEN)]).toEqual([[true], 1, 0x1000]);
    expect(next.read(Mmio.QUEUE_READY), 'of queue 1').toBe(0);
    next.write(Mmio.STATUS, 0x1f);
    expect(next.status).toBe(0x0f);
    next.use();
    expect(next.queue.usedIndex).toBe(2);
  });

  it('is noticed when it was damaged anywhere', () => {
    const { rig, state } = suspended();
    const next = successor(rig);
    let count = 0;
    for (const { value, where } of damaged(state as unknown as Json)) {
      expect(restores(next, value, where), where).toBe(false);
      count++;
    }
    expect(count).toBeGreaterThan(1000);
    expect(restores(next, state, 'undamaged')).toBe(true);
  });

  it('is refused, or taken as it is, when somebody wrote another one', () => {
    const { rig, state } = suspended();
    const { device: _, ...registers } = state.body;
    const taken: string[] = [];
    for (const { value, where } of damaged(registers)) {
      const body = typeof value === 'object' && value !== null ? { ...value, device: state.body['device'] } : value;
      const other = seal(FORMAT, state.version, body) as Sealed<Record<string, unknown>>;
      const next = successor(rig);
      if (!restores(next, other, where)) continue;
      taken.push(where);
      const { body: again } = JSON.parse(JSON.stringify(next.mmio.save())) as typeof state;
      expect({ ...again, device: undefined }, where).toEqual({ ...other.body, device: undefined });
    }
    expect(taken.length).toBeGreaterThan(5);
    for (const where of taken) expect(where).toMatch(/^(select\.|sharedMemorySelect|interruptStatus)/);
  });

  it('is not one of something else', () => {
    const next = new MmioRig();
    for (const value of [undefined, null, 5, 'state', [], {}, { format: FORMAT }]) {
      expect(() => next.mmio.restore(value)).toThrow(StateError);
    }
    for (const body of [null, undefined, 5, 'body', []]) {
      expect(() => next.mmio.restore(seal(FORMAT, 1, body))).toThrow(StateError);
    }
    expect(() => next.mmio.restore(seal(FORMAT, 2, {}))).toThrow(/version 2/);
    expect(() => next.mmio.restore(seal('virtio-pci function', 1, {}))).toThrow(/virtio-pci function/);
  });
});
