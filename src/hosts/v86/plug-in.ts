import { GuestMemory } from '../../memory/guest-memory.ts';
import { PciHeader } from '../../spec/pci.ts';
import type { PciFunction } from '../../transports/pci/function.ts';
import { routeConfigAccess } from './config-access.ts';
import type { V86Cpu, V86Emulator, V86Instance, V86Uart } from './emulator.ts';
import { GuestRam } from './guest-ram.ts';
import { InterruptLines } from './interrupt-lines.ts';
import { registerIoBar } from './io-ports.ts';
import { type Place, PluggedFunction } from './plugged-function.ts';
import { addSavedFunctions, readSavedFunctions } from './saved-functions.ts';

/** A function to plug in. Slot and port are chosen when they are not given; both are free in every v86 machine. */
export interface FunctionToPlug {
  readonly pci: PciFunction;
  readonly slot?: number;
  /** Port of the I/O BAR until firmware or driver move it. */
  readonly ioBase?: number;
}

export interface PlugInOptions {
  /** An empty GuestMemory that devices were made with; the guest's memory becomes its one region. */
  readonly memory?: GuestMemory;
}

/** What a saved state of v86 says of our functions: their state, or that they are to be reset. */
export type SavedAs = 'state' | 'reset';

/** Slots that no device of v86 takes, in the order in which they are given away. */
const FREE_SLOTS = [0x14, 0x18, 0x15, 0x16, 0x17, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x10, 0x11, 0x13, 0x1f];
const FIRST_PORT = 0xe000;

/**
 * Plugs PCI functions with I/O BARs into a v86 emulator. To be called in the same turn in which the emulator was made, as
 * the devices have to be there before the firmware looks for them: they are plugged in at v86's event emulator-ready,
 * from when on `memory` is the guest's.
 *
 * Saving and restoring v86's state saves and restores the functions along. A state of other functions is refused with
 * StateError before anything is changed. Save while the emulator is stopped and the devices are at rest; restore while it
 * is stopped and no device is paused: the functions are reset first.
 */
export function plugIn(
  emulator: V86Instance,
  functions: readonly FunctionToPlug[],
  options: PlugInOptions = {},
): V86Host {
  return new V86Host(emulator, assignPlaces(functions), options.memory ?? new GuestMemory());
}

/** The functions' slots and ports, in their order. Throws RangeError when one cannot be plugged in. */
export function assignPlaces(functions: readonly FunctionToPlug[]): Place[] {
  const slots = FREE_SLOTS.filter((slot) => !functions.some((entry) => entry.slot === slot));
  return functions.map(({ pci, slot = slots.shift(), ioBase }, index) => {
    if (slot === undefined) throw new RangeError(`no free slot is left for ${pci.name}`);
    const [bar, ...more] = pci.bars;
    if (bar === undefined || more.length > 0 || bar.kind !== 'io' || bar.size > 0x100) {
      throw new RangeError(`${pci.name}: a function in v86 has one I/O BAR of at most 256 bytes (ioLayout)`);
    }
    return { pci, slot, ioBase: ioBase ?? FIRST_PORT + 0x100 * index };
  });
}

/** The functions of ours in one emulator. */
export class V86Host {
  readonly memory: GuestMemory;
  readonly places: readonly Place[];
  /** Resolves when the functions are plugged in. Rejects with RangeError when a slot is taken. */
  readonly attached: Promise<void>;
  /** What the next saved state says of the functions; 'reset' needs no device to be at rest. */
  savedAs: SavedAs = 'state';

  readonly #functions = new Map<number, PluggedFunction>();
  #cpu: V86Cpu | undefined;
  #ram: GuestRam | undefined;
  #lines: InterruptLines | undefined;
  /** The interrupt controller is being restored: levels are compared when that is done. */
  #restoring = false;

  constructor(emulator: V86Instance, places: readonly Place[], memory: GuestMemory) {
    this.places = places;
    this.memory = memory;
    this.attached = new Promise((resolve, reject) => {
      const ready = (): void => {
        emulator.remove_listener('emulator-ready', ready);
        try {
          this.#attach((emulator as V86Emulator).v86.cpu);
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      emulator.add_listener('emulator-ready', ready);
    });
  }

  /**
   * After the emulator's end: the functions are reset and can be plugged in elsewhere, and `memory` is empty again. What
   * a disk still has in hand ends without a trace.
   */
  unplug(): void {
    for (const entry of this.#functions.values()) {
      entry.pci.onInterruptLine = undefined;
      entry.reset();
    }
    this.#functions.clear();
    this.#ram?.remove();
    this.#ram = undefined;
  }

  #attach(cpu: V86Cpu): void {
    const { pci } = cpu.devices;
    this.#cpu = cpu;
    this.#ram = new GuestRam(cpu, this.memory);
    this.#lines = new InterruptLines(pci);
    for (const place of this.places) this.#plug(place);
    const refresh = (): void => this.#ram!.refresh();
    routeConfigAccess(cpu.io, pci, this.#functions, refresh);
    const { get_state: getState, set_state: setState, reboot_internal: reboot } = cpu;
    cpu.get_state = () => addSavedFunctions(getState.call(cpu), this.#save());
    cpu.set_state = (state) => this.#restore(state, () => setState.call(cpu, state));
    cpu.reboot_internal = () => {
      for (const entry of this.#functions.values()) entry.reset();
      reboot.call(cpu);
    };
  }

  #plug(place: Place): void {
    const { io, devices } = this.#cpu!;
    const { pci, slot, ioBase } = place;
    if (devices.pci.devices[slot << 3] !== undefined) {
      throw new RangeError(`${pci.name}: slot ${slot} is taken by ${devices.pci.devices[slot << 3]!.name}`);
    }
    const bar = pci.bars[0]!;
    registerIoBar(io, pci, bar.index, ioBase, () => this.#ram!.refresh());
    const initialSpace = pci.configSpace.slice();
    const space = initialSpace.slice();
    new DataView(space.buffer).setUint32(PciHeader.BAR0 + 4 * bar.index, ioBase | 1, true);
    const bars: ({ size: number } | undefined)[] = [];
    bars[bar.index] = { size: bar.size };
    const live = devices.pci.register_device({
      name: pci.name,
      pci_id: slot << 3,
      pci_space: [...space],
      pci_bars: Array.from(bars),
    });
    const plugged = new PluggedFunction(place, initialSpace, live);
    this.#functions.set(plugged.id, plugged);
    pci.onInterruptLine = (asserted) => {
      if (!this.#restoring) this.#lines!.set(plugged.id, asserted);
    };
  }

  #save(): ReturnType<typeof readSavedFunctions> {
    return {
      functions: [...this.#functions.values()].map((entry) => entry.save(this.savedAs)),
      asserted: this.#lines!.asserted,
      serialInput: this.#serialPorts().map((port) => [...(port?.input ?? [])]),
    };
  }

  #restore(state: readonly unknown[], restoreV86: () => void): void {
    const functions = [...this.#functions.values()];
    const saved = readSavedFunctions(state, functions);
    for (const entry of functions) entry.reset();
    this.#restoring = true;
    try {
      restoreV86();
      this.#ram!.refresh();
      this.#lines!.restore(saved.asserted);
      for (const [port, input] of saved.serialInput.entries()) {
        const uart = this.#serialPorts()[port];
        if (uart !== undefined) uart.input = [...input];
      }
      for (const entry of functions) {
        entry.takeOverSpace();
        const found = saved.functions.find(({ slot }) => slot === entry.slot)!;
        if (found.state !== null) entry.pci.restore(found.state);
      }
    } finally {
      this.#restoring = false;
    }
    this.#compareLines(saved.asserted);
  }

  /** The interrupt controller has the levels of the time of saving; functions that are reset now have lower ones. */
  #compareLines(saved: readonly number[]): void {
    for (const { id, pci } of this.#functions.values()) {
      if (saved.includes(id) !== pci.interruptLine) this.#lines!.set(id, pci.interruptLine);
    }
  }

  #serialPorts(): (V86Uart | undefined)[] {
    const { uart0, uart1, uart2, uart3 } = this.#cpu!.devices;
    return [uart0, uart1, uart2, uart3];
  }
}
