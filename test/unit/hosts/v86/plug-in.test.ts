import { afterEach, describe, expect, it } from 'vitest';
import { assignPlaces, type FunctionToPlug, type PlugInOptions } from '../../../../src/hosts/v86/plug-in.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { PciCommand, PciCommon } from '../../../../src/spec/pci.ts';
import { memoryLayout, PciDevice } from '../../../../src/transports/pci/device.ts';
import { BareMachine, blockFunction, ToyFunction } from './machine-without-firmware.ts';

const SLOT = 0x14;
const PORT = 0xe000;
const machines: BareMachine[] = [];

async function machineWith(functions: readonly FunctionToPlug[], options?: PlugInOptions): Promise<BareMachine> {
  const machine = await BareMachine.with(functions, options);
  machines.push(machine);
  return machine;
}

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.emulator.destroy();
});

describe('a function in v86', () => {
  it('answers at the ports of its BAR, in every width', async () => {
    const toy = new ToyFunction('toy');
    const machine = await machineWith([{ pci: toy }]);
    toy.accesses.length = 0;
    machine.out(PORT, 4, 0xfedc_ba98);
    expect(machine.in(PORT, 4)).toBe(0xfedc_ba98);
    expect(machine.in(PORT + 2, 2)).toBe(0xfedc);
    machine.out(PORT + 3, 1, 0x12);
    expect(machine.in(PORT + 3, 1)).toBe(0x12);
    machine.out(PORT + 30, 2, 0xffff);
    const expected = 'write 0:0/4=4275878552, read 0:0/4, read 0:2/2, write 0:3/1=18, read 0:3/1, write 0:30/2=65535';
    expect(toy.accesses).toEqual(expected.split(', '));
    expect(machine.in(PORT + 32, 1)).toBe(0xff);
  });

  it('is found by its configuration space, which keeps its read-only parts', async () => {
    const machine = await machineWith([{ pci: new ToyFunction('toy') }]);
    expect(machine.readConfig(SLOT, 0, 4)).toBe(0x1234_1af4);
    machine.writeConfig(SLOT, 0, 4, 0);
    machine.writeConfig(SLOT, 2, 2, 0);
    machine.writeConfig(SLOT, 1, 1, 0);
    expect(machine.readConfig(SLOT, 0, 2)).toBe(0x1af4);
    expect(machine.readConfig(SLOT, 1, 1)).toBe(0x1a);
    expect(machine.readConfig(SLOT, 2, 2)).toBe(0x1234);
    expect(machine.readConfig(SLOT + 1, 0, 4)).toBe(0xffff_ffff);
    expect(machine.readConfig(0, 0, 4)).toBe(0x1237_8086);
  });

  it('hears of its command register, whose other half is kept', async () => {
    const { pci } = blockFunction();
    const machine = await machineWith([{ pci }]);
    machine.writeConfig(SLOT, 4, 2, PciCommand.IO | PciCommand.BUS_MASTER | PciCommand.INTX_DISABLE);
    expect(pci.readConfig(4, 2)).toBe(0x0405);
    machine.writeConfig(SLOT, 5, 1, 0);
    expect(machine.readConfig(SLOT, 4, 2)).toBe(0x0005);
  });

  it('moves to where its BAR is set, after the size was asked for', async () => {
    const toy = new ToyFunction('toy');
    const machine = await machineWith([{ pci: toy }]);
    expect(machine.readConfig(SLOT, 0x10, 4)).toBe(PORT | 1);
    machine.writeConfig(SLOT, 0x10, 4, 0xffff_ffff);
    expect(machine.readConfig(SLOT, 0x10, 4)).toBe(0xffff_ffe1);
    machine.writeConfig(SLOT, 0x10, 4, 0xc040);
    expect(machine.readConfig(SLOT, 0x10, 4)).toBe(0xc041);
    machine.out(0xc044, 4, 77);
    expect(toy.registers.getUint32(4, true)).toBe(77);
    expect(machine.in(PORT + 4, 4)).toBe(0xffff_ffff);
    machine.writeConfig(SLOT, 0x14, 4, 0xffff_ffff);
    expect(machine.readConfig(SLOT, 0x14, 4)).toBe(0);
  });
});

describe('a virtio device in v86', () => {
  it('can be driven through the window in its configuration space alone (§4.1.4.9)', async () => {
    const { pci, device } = blockFunction();
    const machine = await machineWith([{ pci }]);
    let at = machine.readConfig(SLOT, 0x34, 1);
    while (machine.readConfig(SLOT, at + 3, 1) !== 5) at = machine.readConfig(SLOT, at + 1, 1);
    const access = (offset: number, width: number): void => {
      machine.writeConfig(SLOT, at + 4, 1, 0);
      machine.writeConfig(SLOT, at + 8, 4, offset);
      machine.writeConfig(SLOT, at + 12, 4, width);
    };
    access(PciCommon.DEVICE_STATUS, 1);
    machine.writeConfig(SLOT, at + 16, 1, 3);
    expect(device.status).toBe(3);
    expect(machine.readConfig(SLOT, at + 16, 1)).toBe(3);
    access(PciCommon.NUM_QUEUES, 2);
    expect(machine.readConfig(SLOT, at + 16, 2)).toBe(1);
  });

  it('is reset when the machine is, and has to be set up again', async () => {
    const { pci, device } = blockFunction();
    const machine = await machineWith([{ pci }]);
    machine.writeConfig(SLOT, 4, 2, PciCommand.IO | PciCommand.BUS_MASTER);
    machine.out(PORT + PciCommon.DEVICE_STATUS, 1, 3);
    expect(device.status).toBe(3);
    machine.cpu.reboot_internal();
    expect(device.status).toBe(0);
    expect(machine.readConfig(SLOT, 4, 2)).toBe(0);
  });
});

describe('places in v86', () => {
  it('are given in order around the ones that are asked for', () => {
    const functions = [1, 2, 3].map((n) => ({ pci: new ToyFunction(`toy ${n}`), ...(n === 2 ? { slot: 0x14 } : {}) }));
    expect(assignPlaces(functions).map(({ slot, ioBase }) => [slot, ioBase])).toEqual([
      [0x18, 0xe000],
      [0x14, 0xe100],
      [0x15, 0xe200],
    ]);
  });

  it('are for functions with one I/O BAR', () => {
    const { device } = blockFunction();
    const pci = new PciDevice(device, { layout: memoryLayout });
    expect(() => assignPlaces([{ pci }])).toThrow(RangeError);
  });

  it('end', () => {
    const functions = Array.from({ length: 20 }, (_, n) => ({ pci: new ToyFunction(`toy ${n}`) }));
    expect(() => assignPlaces(functions)).toThrow('no free slot is left for toy 14');
  });

  it('that v86 has given away are refused', async () => {
    await expect(BareMachine.with([{ pci: new ToyFunction('toy'), slot: 5 }])).rejects.toThrow(
      'toy: slot 5 is taken by',
    );
  });
});

describe('an interrupt line', () => {
  it('is high as long as one of its functions asserts it', async () => {
    const [one, two] = [new ToyFunction('one'), new ToyFunction('two')];
    const machine = await machineWith([{ pci: one }, { pci: two }]);
    one.interrupt(true);
    two.interrupt(true);
    expect(machine.interrupt(11)).toBe(true);
    one.interrupt(false);
    expect(machine.interrupt(11)).toBe(true);
    two.interrupt(false);
    expect(machine.interrupt(11)).toBe(false);
  });

  it('is not lowered by a device of v86 that shares it, nor by us while that one asserts it', async () => {
    const toy = new ToyFunction('toy');
    const machine = await machineWith([{ pci: toy, slot: 0x15 }]);
    const { pci } = machine.cpu.devices;
    const networkCard = 5 << 3;
    toy.interrupt(true);
    pci.lower_irq(networkCard);
    expect(machine.interrupt(10)).toBe(true);
    pci.raise_irq(networkCard);
    toy.interrupt(false);
    expect(machine.interrupt(10)).toBe(true);
    pci.lower_irq(networkCard);
    expect(machine.interrupt(10)).toBe(false);
  });

  it('is told from another line', async () => {
    const toy = new ToyFunction('toy');
    const machine = await machineWith([{ pci: toy }]);
    toy.interrupt(true);
    expect([machine.interrupt(10), machine.interrupt(11)]).toEqual([false, true]);
  });
});

describe("the guest's memory", () => {
  it('is the one region of the GuestMemory that was given, and stays so when v86 grows', async () => {
    const memory = new GuestMemory();
    const toy = new ToyFunction('toy');
    const machine = await machineWith([{ pci: toy }], { memory });
    expect(memory.regions.map(({ address, size }) => [address, size])).toEqual([[0, 16 << 20]]);
    memory.find(0x1000, 4)!.view.setUint32(0x1000, 0xcafe, true);
    const wasm = machine.cpu.wasm_memory as unknown as { grow(pages: number): void };
    wasm.grow(1);
    expect(memory.find(0x1000, 4)!.bytes.length).toBe(0);
    machine.in(PORT, 1);
    expect(memory.find(0x1000, 4)!.view.getUint32(0x1000, true)).toBe(0xcafe);
    wasm.grow(1);
    machine.cpu.main_loop();
    expect(memory.find(0x1000, 4)!.view.getUint32(0x1000, true)).toBe(0xcafe);
  });

  it('tells v86 what was written, as it may be code', async () => {
    const machine = await machineWith([]);
    const dirty: number[][] = [];
    machine.cpu.jit_dirty_cache = (start, end) => dirty.push([start, end]);
    machine.host.memory.onWrite!(0x2000, 16);
    machine.host.memory.onWrite!(0x2000, 0);
    expect(dirty).toEqual([[0x2000, 0x2010]]);
  });

  it('is taken away when the emulator has ended, so that another one can be made of it', async () => {
    const { pci, device, memory } = blockFunction();
    const first = await machineWith([{ pci }], { memory });
    first.out(PORT + PciCommon.DEVICE_STATUS, 1, 3);
    first.host.unplug();
    expect(device.status).toBe(0);
    expect(memory.regions).toEqual([]);
    const second = await machineWith([], { memory });
    expect(second.host.memory.regions.length).toBe(1);
  });
});
