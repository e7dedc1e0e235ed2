import { afterEach, describe, expect, it } from 'vitest';
import type { FunctionToPlug, PlugInOptions } from '../../../../src/hosts/v86/plug-in.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
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

describe('a saved state of v86', () => {
  it('has the state of the functions, their BARs and the interrupts', async () => {
    const before = new ToyFunction('toy');
    const machine = await machineWith([{ pci: before }]);
    machine.writeConfig(SLOT, 0x10, 4, 0xc100);
    machine.writeConfig(SLOT, 4, 2, 5);
    before.interrupt(true);
    before.saved = { some: 'state' };
    const state = await machine.emulator.save_state();

    const after = new ToyFunction('toy');
    const other = await machineWith([{ pci: after }]);
    const restored = { set: false };
    after.restore = (value) => {
      restored.set = true;
      expect(value).toEqual({ some: 'state' });
      after.interruptLine = true;
    };
    await other.emulator.restore_state(state);
    expect(restored.set).toBe(true);
    expect(other.interrupt(11)).toBe(true);
    expect(other.readConfig(SLOT, 4, 2)).toBe(5);
    other.out(0xc104, 4, 99);
    expect(after.registers.getUint32(4, true)).toBe(99);
    after.interrupt(false);
    expect(other.interrupt(11)).toBe(false);
  });

  it('of a real device goes on in another machine', async () => {
    const before = blockFunction();
    const machine = await machineWith([{ pci: before.pci }], { memory: before.memory });
    machine.out(PORT + PciCommon.DEVICE_STATUS, 1, 3);
    machine.out(PORT + PciCommon.DRIVER_FEATURE_SELECT, 4, 1);
    machine.host.memory.find(0, 1)!.bytes[0x3000] = 0x5a;
    await before.device.pause();
    const state = await machine.emulator.save_state();
    const after = blockFunction();
    const other = await machineWith([{ pci: after.pci }], { memory: after.memory });
    await other.emulator.restore_state(state);
    expect(after.device.paused).toBe(true);
    after.device.continue();
    expect(other.in(PORT + PciCommon.DEVICE_STATUS, 1)).toBe(3);
    expect(other.in(PORT + PciCommon.DRIVER_FEATURE_SELECT, 4)).toBe(1);
    expect(after.memory.find(0, 1)!.bytes[0x3000]).toBe(0x5a);
  });
});

describe('saving a state of v86', () => {
  it('is refused while a device is not at rest', async () => {
    const { pci } = blockFunction();
    const machine = await machineWith([{ pci }]);
    await expect(machine.emulator.save_state()).rejects.toBeInstanceOf(StateError);
  });

  it('can leave the state of the functions away: they are to be reset then', async () => {
    const before = new ToyFunction('toy');
    const machine = await machineWith([{ pci: before }]);
    before.interrupt(true);
    machine.host.savedAs = 'reset';
    const state = await machine.emulator.save_state();
    const after = new ToyFunction('toy');
    const other = await machineWith([{ pci: after }]);
    await other.emulator.restore_state(state);
    expect(after.accesses.some((access) => access.startsWith('restore'))).toBe(false);
    expect(other.interrupt(11)).toBe(false);
  });

  it('keeps the bytes that wait at the serial ports', async () => {
    const machine = await machineWith([]);
    machine.emulator.serial_send_bytes(1, Uint8Array.of(65, 66));
    const state = await machine.emulator.save_state();
    const other = await machineWith([]);
    await other.emulator.restore_state(state);
    expect([other.in(0x2f8, 1), other.in(0x2f8, 1)]).toEqual([65, 66]);
  });
});

describe('a state of v86 that does not fit', () => {
  it.each<[string, () => FunctionToPlug[], string]>([
    ['less functions', () => [], 'the saved machine has toy in slot 20, this one has nothing there'],
    [
      'more functions',
      () => [{ pci: new ToyFunction('toy') }, { pci: new ToyFunction('more') }],
      'the saved machine has nothing in slot 24, this one has more',
    ],
    [
      'a function elsewhere',
      () => [{ pci: new ToyFunction('toy'), slot: 0x18 }],
      'the saved machine has toy in slot 20, this one has nothing there',
    ],
    [
      'another function',
      () => [{ pci: new ToyFunction('disk', 0x1042) }],
      'the saved machine has toy in slot 20, this one has disk, which differs',
    ],
  ])('is refused by a machine with %s, which is not changed', async (_, functions, message) => {
    const machine = await machineWith([{ pci: new ToyFunction('toy') }]);
    machine.host.memory.find(0, 1)!.bytes[0x3000] = 1;
    const state = await machine.emulator.save_state();
    const other = await machineWith(functions());
    other.host.memory.find(0, 1)!.bytes[0x3000] = 2;
    const restoring = other.emulator.restore_state(state);
    await expect(restoring).rejects.toBeInstanceOf(StateError);
    await expect(restoring).rejects.toThrow(message);
    expect(other.host.memory.find(0, 1)!.bytes[0x3000]).toBe(2);
  });

  it.each<[string, unknown, string]>([
    ['without any', undefined, 'the saved machine was made without virtio-ts'],
    ['with something else', 'text', 'the saved machine is corrupt'],
    ['with null', 'null', 'the saved machine is corrupt'],
    [
      'of another version',
      '{"format":"virtio-ts functions in v86","version":9}',
      'expected "virtio-ts functions in v86" 1',
    ],
    ['that is incomplete', '{"format":"virtio-ts functions in v86","version":1}', 'is incomplete'],
  ])('%s functions is refused', async (_, text, message) => {
    const machine = await machineWith([]);
    const state = machine.cpu.get_state();
    state[200] = text;
    expect(() => machine.cpu.set_state(state)).toThrow(StateError);
    expect(() => machine.cpu.set_state(state)).toThrow(message);
  });
});
