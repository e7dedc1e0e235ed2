import { expect, it } from 'vitest';
import { Isr, PciCommand, PciCommon, PciHeader, PciStatus } from '../../../../src/spec/pci.ts';
import { PciRig } from './pci-rig.ts';

function pending({ pci }: PciRig): boolean {
  return (pci.readConfig(PciHeader.STATUS, 2) & PciStatus.INTERRUPT) !== 0;
}

it('a used buffer sets ISR, the interrupt status and the line, until the ISR is read (§4.1.4.5)', () => {
  const rig = new PciRig().start();
  expect([pending(rig), rig.pci.interruptLine]).toEqual([false, false]);
  rig.offerRead();
  rig.notify(0);
  expect(rig.queue.usedIndex).toBe(1);
  expect([pending(rig), rig.pci.interruptLine, rig.line]).toEqual([true, true, [true]]);
  expect(rig.isr).toBe(Isr.QUEUE);
  expect([pending(rig), rig.pci.interruptLine, rig.line]).toEqual([false, false, [true, false]]);
  expect(rig.isr).toBe(0);
});

it('causes gather while the line is up', () => {
  const rig = new PciRig().start();
  rig.offerRead();
  rig.notify(0);
  rig.disk.capacitySectors = 7;
  rig.disk.onResize?.();
  expect(rig.line, 'one edge').toEqual([true]);
  expect(rig.isr).toBe(Isr.QUEUE | Isr.CONFIG);
  expect(rig.line).toEqual([true, false]);
});

it('the ISR is one byte: a wider read gives it alone, and a write changes nothing', () => {
  for (const width of [2, 4] as const) {
    const rig = new PciRig().start();
    const { bar, offset } = rig.layout.structures.isr;
    rig.disk.onResize?.();
    rig.pci.writeBar(bar, offset, 1, 0);
    expect(rig.pci.interruptLine).toBe(true);
    expect(rig.pci.readBar(bar, offset, width)).toBe(Isr.CONFIG);
    expect(rig.pci.interruptLine).toBe(false);
  }
});

it('INTx can be disabled: the causes stay, and come up when it is enabled again', () => {
  const rig = new PciRig().start();
  rig.pci.writeConfig(PciHeader.COMMAND, 2, PciCommand.INTX_DISABLE);
  rig.disk.onResize?.();
  expect([pending(rig), rig.pci.interruptLine, rig.line]).toEqual([true, false, []]);
  rig.pci.writeConfig(PciHeader.COMMAND, 2, 0);
  expect([rig.pci.interruptLine, rig.line]).toEqual([true, [true]]);
  rig.pci.writeConfig(PciHeader.COMMAND, 2, PciCommand.INTX_DISABLE);
  expect([rig.pci.interruptLine, rig.line]).toEqual([false, [true, false]]);
  expect(rig.isr).toBe(Isr.CONFIG);
  rig.pci.writeConfig(PciHeader.COMMAND, 2, 0);
  expect([pending(rig), rig.pci.interruptLine]).toEqual([false, false]);
});

it('a reset takes pending interrupts with it', () => {
  const rig = new PciRig().start();
  rig.disk.onResize?.();
  rig.write(PciCommon.DEVICE_STATUS, 0);
  expect([pending(rig), rig.pci.interruptLine, rig.isr]).toEqual([false, false, 0]);
});

it('no interrupt comes while suspended; one that was pending stays until it is read, and what was held comes after', () => {
  const rig = new PciRig().start();
  rig.offerRead();
  rig.notify(0);
  rig.write(PciCommon.DEVICE_STATUS, 0x1f);
  expect(rig.read(PciCommon.DEVICE_STATUS)).toBe(0x1b);
  expect(rig.pci.interruptLine).toBe(true);
  rig.disk.onResize?.();
  rig.offerRead();
  rig.notify(0);
  expect(rig.isr, 'only that of before').toBe(Isr.QUEUE);
  expect(rig.isr).toBe(0);
  expect(rig.queue.usedIndex).toBe(1);
  rig.queue.usedEvent = 1;
  rig.write(PciCommon.DEVICE_STATUS, 0x1f);
  expect(rig.read(PciCommon.DEVICE_STATUS)).toBe(0x0f);
  expect(rig.isr).toBe(Isr.QUEUE | Isr.CONFIG);
  expect(rig.queue.usedIndex, 'without a kick').toBe(2);
});

it('a host that plugs no line in misses nothing but the line', () => {
  const rig = new PciRig().start();
  rig.pci.onInterruptLine = undefined;
  rig.disk.onResize?.();
  expect([rig.pci.interruptLine, rig.isr]).toEqual([true, Isr.CONFIG]);
});
