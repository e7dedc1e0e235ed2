/**
 * The parts of v86 that this host uses, by structure: the package is not imported here, so that the caller chooses how
 * it is loaded. Names are v86's. Numbers that v86 hands out may be signed; port handlers return signed 32-bit values.
 */

/** An instance of v86's class V86 as its own types show it: they say nothing of what is inside. */
export interface V86Instance {
  add_listener(event: 'emulator-ready', listener: () => void): void;
  remove_listener(event: 'emulator-ready', listener: () => void): void;
}

/** The same with what is inside. */
export interface V86Emulator extends V86Instance {
  /** There from the event emulator-ready on. */
  readonly v86: { readonly cpu: V86Cpu };
  add_listener(event: string, listener: (value: never) => void): void;
  remove_listener(event: string, listener: (value: never) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
  destroy(): Promise<void>;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  serial_send_bytes(port: number, bytes: Uint8Array): void;
}

/** Methods are looked up on the instance at each call, so one that is replaced there takes effect. */
export interface V86Cpu {
  readonly io: V86Io;
  readonly devices: V86Devices;
  /** Guest memory from address 0 on. A proxy: slow, but its place in `wasm_memory` can be read. */
  readonly mem8: { readonly byteOffset: number; readonly length: number };
  /** The buffer is replaced when the memory grows; the old one is detached then. */
  readonly wasm_memory: { readonly buffer: ArrayBuffer };
  /** Drops compiled code of the pages from `start` up to, not including, `end`. */
  jit_dirty_cache(start: number, end: number): void;
  /** A slice of guest time; returns the milliseconds until the next one is due. */
  main_loop(): number;
  reboot_internal(): void;
  /** Numbers, strings, arrays and typed arrays by position. */
  get_state(): unknown[];
  set_state(state: unknown[]): void;
}

export interface V86Devices {
  readonly pci: V86Pci;
  readonly uart0?: V86Uart;
  readonly uart1?: V86Uart;
  readonly uart2?: V86Uart;
  readonly uart3?: V86Uart;
}

export interface V86Uart {
  /** Bytes that the guest has not read yet; not part of v86's own saved state. */
  input: number[];
}

export type PortRead = (port: number) => number;
export type PortWrite = (value: number) => void;

export interface V86Io {
  readonly ports: readonly { readonly read8: PortRead; readonly read16: PortRead; readonly read32: PortRead }[];
  register_read(port: number, owner: object, read8?: PortRead, read16?: PortRead, read32?: PortRead): void;
  register_write(port: number, owner: object, write8?: PortWrite, write16?: PortWrite, write32?: PortWrite): void;
}

/** What `register_device` takes. */
export interface V86PciDevice {
  readonly name: string;
  /** Slot and function: slot << 3. */
  readonly pci_id: number;
  /** Initial configuration space, byte by byte. */
  readonly pci_space: readonly number[];
  /** By number of the base address register. */
  readonly pci_bars: readonly ({ readonly size: number } | undefined)[];
}

/** Addresses of configuration space are bus, device and function << 8 | offset, with bit 31 for "enabled". */
export interface V86Pci {
  readonly devices: readonly (V86PciDevice | undefined)[];
  /** The live configuration spaces, 64 words each. */
  readonly device_spaces: readonly (Int32Array | undefined)[];
  /** The address register, as written by the guest. */
  readonly pci_addr32: Int32Array;
  /** Configuration space of the ISA bridge, with the routes of the interrupt lines. */
  readonly isa_bridge_space8: Uint8Array;
  /** Returns the device's live configuration space. The ports of its I/O BARs are registered before. */
  register_device(device: V86PciDevice): Int32Array;
  raise_irq(id: number): void;
  lower_irq(id: number): void;
  pci_write8(address: number, value: number): void;
  pci_write16(address: number, value: number): void;
  pci_write32(address: number, value: number): void;
}
