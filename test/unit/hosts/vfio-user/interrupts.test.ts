import { beforeEach, describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { ClientInterrupts } from '../../../../src/hosts/vfio-user/interrupts.ts';
import { Irq, SetIrqs } from '../../../../src/hosts/vfio-user/messages.ts';
import { Refusal } from '../../../../src/hosts/vfio-user/refusal.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { Isr, Msix } from '../../../../src/spec/pci.ts';
import { MSIX_CAP } from '../../../../src/transports/pci/capabilities.ts';
import { memoryLayout, PciDevice } from '../../../../src/transports/pci/device.ts';
import { ControlledType } from '../../../support/controlled-type.ts';

const ISR = memoryLayout.structures.isr;
const TRIGGER = SetIrqs.EVENTFD | SetIrqs.TRIGGER;
const WRONG_FD = 99;

let fn: PciDevice;
let interrupts: ClientInterrupts;
/** `3` when descriptor 3 was signalled, `close 3`. */
let log: string[];
let unmaskBy: Map<number, () => void>;
beforeEach(() => {
  log = [];
  unmaskBy = new Map();
  fn = new PciDevice(new Device(new ControlledType(), new GuestMemory()), { vectors: 3 });
  interrupts = new ClientInterrupts(fn, {
    trigger: (fd) => {
      if (fd === WRONG_FD) throw new TypeError('no eventfd');
      return { signal: () => log.push(`${fd}`), close: () => log.push(`close ${fd}`) };
    },
    unmask: (fd, callback) => {
      unmaskBy.set(fd, callback);
      return { close: () => log.push(`close ${fd}`) };
    },
  });
});

function set(
  index: number,
  flags: number,
  fds: readonly number[] = [],
  range: { start?: number; count?: number } = {},
): void {
  const { start = 0, count = Math.max(fds.length, 1) } = range;
  interrupts.set({ index, flags, start, count }, new Uint8Array(0), [...fds]);
}

/** A configuration change; over INTx it raises the line. */
function change(): void {
  fn.interrupts.configChange();
}

function readIsr(): number {
  return fn.readBar(ISR.bar, ISR.offset, 1);
}

it('are what the protocol calls them', () => {
  const kinds = Array.from({ length: Irq.COUNT }, (_, index) => interrupts.info(index));
  expect(kinds.map(({ count, flags }) => [count, flags])).toEqual([
    [1, 7],
    [0, 1],
    [3, 1],
    [0, 1],
    [0, 1],
  ]);
  expect(() => interrupts.info(5)).toThrow(Refusal);
});

describe('INTx', () => {
  it('is told once, until it is unmasked while it is still up', () => {
    set(Irq.INTX, TRIGGER, [3]);
    change();
    change();
    expect(log).toEqual(['3']);
    set(Irq.INTX, SetIrqs.NONE | SetIrqs.UNMASK);
    expect(log).toEqual(['3', '3']);
    expect(readIsr()).toBe(Isr.CONFIG);
    set(Irq.INTX, SetIrqs.NONE | SetIrqs.UNMASK);
    expect(log).toEqual(['3', '3']);
    change();
    expect(log).toEqual(['3', '3', '3']);
  });

  it('is told when it gets its descriptor, if it is up', () => {
    change();
    expect(log).toEqual([]);
    set(Irq.INTX, TRIGGER, [3]);
    expect(log).toEqual(['3']);
    // Another one in its place: whoever waits there has seen nothing yet.
    set(Irq.INTX, TRIGGER, [4]);
    expect(log).toEqual(['3', 'close 3', '4']);
    set(Irq.INTX, TRIGGER);
    readIsr();
    change();
    expect(log).toEqual(['3', 'close 3', '4', 'close 4']);
  });

  it('is masked and unmasked by message, for those that are meant', () => {
    set(Irq.INTX, TRIGGER, [3]);
    const bool = (action: number, value: number): void =>
      interrupts.set({ index: Irq.INTX, flags: SetIrqs.BOOL | action, start: 0, count: 1 }, Uint8Array.of(value), []);
    bool(SetIrqs.MASK, 1);
    change();
    expect(log).toEqual([]);
    bool(SetIrqs.UNMASK, 0);
    expect(log).toEqual([]);
    bool(SetIrqs.UNMASK, 1);
    expect(log).toEqual(['3']);
  });

  it('is unmasked by descriptor', () => {
    set(Irq.INTX, TRIGGER, [3]);
    set(Irq.INTX, SetIrqs.EVENTFD | SetIrqs.UNMASK, [5]);
    change();
    unmaskBy.get(5)!();
    expect(log).toEqual(['3', '3']);
    set(Irq.INTX, SetIrqs.EVENTFD | SetIrqs.UNMASK);
    expect(log.at(-1)).toBe('close 5');
  });

  it('is triggered by the client itself', () => {
    set(Irq.INTX, SetIrqs.NONE | SetIrqs.TRIGGER);
    set(Irq.INTX, TRIGGER, [3]);
    set(Irq.INTX, SetIrqs.NONE | SetIrqs.TRIGGER);
    expect(log).toEqual(['3']);
  });

  it('is disabled', () => {
    set(Irq.INTX, TRIGGER, [3]);
    set(Irq.INTX, SetIrqs.NONE | SetIrqs.TRIGGER, [], { count: 0 });
    change();
    expect(log).toEqual(['close 3']);
  });
});

describe('vectors', () => {
  const enabled = (): boolean => fn.interrupts.msix!.enabled;

  it('are enabled with their first descriptor, and disabled all at once', () => {
    set(Irq.MSIX, TRIGGER, [3, 4]);
    expect(enabled()).toBe(true);
    expect(fn.readConfig(MSIX_CAP + Msix.CONTROL, 2) & Msix.ENABLE).not.toBe(0);
    fn.interrupts.msix!.signal(1);
    fn.interrupts.msix!.signal(0);
    expect(log).toEqual(['4', '3']);
    set(Irq.MSIX, SetIrqs.NONE | SetIrqs.TRIGGER, [], { count: 0 });
    expect(enabled()).toBe(false);
    fn.interrupts.msix!.signal(0);
    expect(log).toEqual(['4', '3', 'close 3', 'close 4']);
  });

  it('are enabled without a descriptor, too, and kept until there is one', () => {
    set(Irq.MSIX, TRIGGER);
    expect(enabled()).toBe(true);
    fn.interrupts.msix!.signal(2);
    fn.interrupts.msix!.signal(2);
    set(Irq.MSIX, TRIGGER, [7], { start: 2 });
    expect(log).toEqual(['7']);
    fn.interrupts.msix!.signal(2);
    expect(log).toEqual(['7', '7']);
  });

  it('that were signalled when there was no client are told to the next one', () => {
    set(Irq.MSIX, TRIGGER, [3, 4, 5]);
    interrupts.close();
    expect(log).toEqual(['close 3', 'close 4', 'close 5']);
    fn.interrupts.msix!.signal(1);
    const told: number[] = [];
    const next = new ClientInterrupts(fn, {
      trigger: (fd) => ({ signal: () => told.push(fd), close: () => {} }),
      unmask: () => ({ close: () => {} }),
    });
    next.set({ index: Irq.MSIX, flags: TRIGGER, start: 0, count: 3 }, new Uint8Array(0), [10, 11, 12]);
    expect(told).toEqual([11]);
  });

  it('one of which has a wrong descriptor are set up to there; that one and those behind it stay the caller’s', () => {
    const fds = [3, WRONG_FD, 4];
    expect(() =>
      interrupts.set({ index: Irq.MSIX, flags: TRIGGER, start: 0, count: 3 }, new Uint8Array(0), fds),
    ).toThrow(new Refusal(22, 'no eventfd'));
    expect(fds).toEqual([WRONG_FD, 4]);
  });
});
