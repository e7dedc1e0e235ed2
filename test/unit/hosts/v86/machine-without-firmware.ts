import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import type { V86Cpu, V86Emulator } from '../../../../src/hosts/v86/emulator.ts';
import { type FunctionToPlug, type PlugInOptions, plugIn, type V86Host } from '../../../../src/hosts/v86/plug-in.ts';
import { loaded, makeEmulator } from '../../../../src/machine/emulator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { ioLayout, PciDevice } from '../../../../src/transports/pci/device.ts';
import type { PciBar, PciFunction } from '../../../../src/transports/pci/function.ts';

/** Port accesses as the processor makes them. v86 takes and gives signed 32-bit values. */
interface Ports {
  port_read8(port: number): number;
  port_read16(port: number): number;
  port_read32(port: number): number;
  port_write8(port: number, value: number): void;
  port_write16(port: number, value: number): void;
  port_write32(port: number, value: number): void;
}

/** Parts of the processor that only tests need. */
interface Inside {
  readonly io: Ports;
  get_pic_addr_slave(): number;
}

/** A real v86 machine with functions plugged in, that has no firmware and never runs: the test is the guest. */
export class BareMachine {
  readonly emulator: V86Emulator;
  readonly host: V86Host;

  private constructor(emulator: V86Emulator, host: V86Host) {
    this.emulator = emulator;
    this.host = host;
  }

  static async with(functions: readonly FunctionToPlug[], options: PlugInOptions = {}): Promise<BareMachine> {
    const emulator = makeEmulator({ memoryBytes: 16 << 20, bios: new ArrayBuffer(0), vgaBios: undefined });
    const isLoaded = loaded(emulator);
    const host = plugIn(emulator, functions, options);
    const machine = new BareMachine(emulator, host);
    await Promise.all([host.attached, isLoaded]);
    // What firmware does: no BARs that the disk controller of v86 has not; interrupts 10 and 11 for the four lines.
    for (const bar of [0x10, 0x14, 0x18, 0x1c]) machine.writeConfig(0x1e, bar, 4, 0);
    machine.writeConfig(1, 0x60, 4, 0x0b0b0a0a);
    machine.setLevelTriggered();
    return machine;
  }

  get cpu(): V86Cpu {
    return this.emulator.v86.cpu;
  }

  get #inside(): Inside {
    return this.cpu as unknown as Inside;
  }

  in(port: number, width: AccessWidth): number {
    const { io } = this.#inside;
    const value = width === 1 ? io.port_read8(port) : width === 2 ? io.port_read16(port) : io.port_read32(port);
    return value >>> 0;
  }

  out(port: number, width: AccessWidth, value: number): void {
    const { io } = this.#inside;
    if (width === 1) io.port_write8(port, value);
    else if (width === 2) io.port_write16(port, value);
    else io.port_write32(port, value | 0);
  }

  readConfig(slot: number, offset: number, width: AccessWidth): number {
    this.out(0xcf8, 4, 0x8000_0000 | (slot << 11) | (offset & 0xfc));
    return this.in(0xcfc + (offset & 3), width);
  }

  writeConfig(slot: number, offset: number, width: AccessWidth, value: number): void {
    this.out(0xcf8, 4, 0x8000_0000 | (slot << 11) | (offset & 0xfc));
    this.out(0xcfc + (offset & 3), width, value);
  }

  /** Whether interrupt 8 to 15 is asserted at the interrupt controller. */
  interrupt(number: number): boolean {
    const controller = new Uint8Array(this.cpu.wasm_memory.buffer, this.#inside.get_pic_addr_slave(), 13);
    return (controller[11]! & (1 << (number - 8))) !== 0;
  }

  setLevelTriggered(): void {
    new Uint8Array(this.cpu.wasm_memory.buffer, this.#inside.get_pic_addr_slave(), 13)[10] = 0x0c;
  }
}

/** A function that is no virtio device, with 32 bytes of memory behind its BAR; writes down what is done to it. */
export class ToyFunction implements PciFunction {
  readonly name: string;
  readonly bars: readonly PciBar[] = [{ index: 0, kind: 'io', size: 32 }];
  readonly configSpace: Uint8Array = new Uint8Array(256);
  readonly accesses: string[] = [];
  readonly registers: DataView = new DataView(new ArrayBuffer(36));
  onInterruptLine: ((asserted: boolean) => void) | undefined;
  interruptLine = false;
  saved: unknown = 'toy';

  constructor(name: string, deviceId = 0x1234) {
    this.name = name;
    new DataView(this.configSpace.buffer).setUint32(0, (deviceId << 16) | 0x1af4, true);
    this.configSpace[0x10] = 1;
    this.configSpace[0x3d] = 1;
  }

  readConfig(offset: number, width: AccessWidth): number {
    const view = new DataView(this.configSpace.buffer);
    return width === 1
      ? view.getUint8(offset)
      : width === 2
        ? view.getUint16(offset, true)
        : view.getUint32(offset, true);
  }

  /** Only the command register and the BAR can be written. */
  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.accesses.push(`config ${offset}/${width}=${value}`);
    if (offset !== 4 && offset !== 0x10) return;
    for (let i = 0; i < Math.min(width, offset === 4 ? 2 : 4); i++) this.configSpace[offset + i] = value >>> (8 * i);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    this.accesses.push(`read ${bar}:${offset}/${width}`);
    const { registers } = this;
    return width === 1
      ? registers.getUint8(offset)
      : width === 2
        ? registers.getUint16(offset, true)
        : registers.getUint32(offset, true);
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.accesses.push(`write ${bar}:${offset}/${width}=${value}`);
    if (width === 1) this.registers.setUint8(offset, value);
    else if (width === 2) this.registers.setUint16(offset, value, true);
    else this.registers.setUint32(offset, value, true);
  }

  interrupt(asserted: boolean): void {
    this.interruptLine = asserted;
    this.onInterruptLine?.(asserted);
  }

  save(): unknown {
    return this.saved;
  }

  restore(state: unknown): void {
    this.accesses.push(`restore ${JSON.stringify(state)}`);
    this.saved = state;
  }
}

/** A block device of 32 KiB as a function, with the memory that it was made with. */
export function blockFunction(memory = new GuestMemory()): { pci: PciDevice; device: Device; memory: GuestMemory } {
  const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 64 })), memory);
  return { pci: new PciDevice(device, { layout: ioLayout }), device, memory };
}
