import type { Device } from '../../device/device.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { StateError } from '../../spec/fault.ts';
import { Msix, PCI_DEVICE_BASE, PCI_VENDOR, PciCommand, PciHeader, PciStatus, VirtioPciCap } from '../../spec/pci.ts';
import { MSIX_CAP, PCI_CFG_CAP } from './capabilities.ts';
import type { PciBar } from './function.ts';

/** Class code (class, subclass, interface) by device id; "other" for the rest. */
const CLASS_CODES: Readonly<Record<number, number>> = {
  [DeviceId.NET]: 0x020000,
  [DeviceId.BLOCK]: 0x010000,
  [DeviceId.CONSOLE]: 0x078000,
};
const OTHER_CLASS = 0x00ff00;

const WRITABLE_COMMAND = PciCommand.IO | PciCommand.MEMORY | PciCommand.BUS_MASTER | PciCommand.INTX_DISABLE;

/** What the PCI configuration access capability does with a BAR (§4.1.4.9). */
export interface BarWindow {
  readBar(bar: number, offset: number, width: AccessWidth): number;
  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void;
}

/** What a driver can change in configuration space, but for the window's data, which are the register behind it. */
const WRITABLE: Readonly<Record<string, readonly [offset: number, width: AccessWidth]>> = {
  command: [PciHeader.COMMAND, 2],
  interruptLine: [PciHeader.INTERRUPT_LINE, 1],
  ...Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`bar${n}`, [PciHeader.BAR0 + 4 * n, 4]])),
  windowBar: [PCI_CFG_CAP + VirtioPciCap.BAR, 1],
  windowOffset: [PCI_CFG_CAP + VirtioPciCap.OFFSET, 4],
  windowLength: [PCI_CFG_CAP + VirtioPciCap.SIZE, 4],
};

/** The 256 bytes of PCI configuration space of one function, for hosts that do not keep their own. */
export class PciConfigSpace {
  readonly bytes: Uint8Array = new Uint8Array(256);
  readonly #view: DataView = new DataView(this.bytes.buffer);
  readonly #bars: readonly PciBar[];
  readonly #window: BarWindow;
  readonly #interruptPending: () => boolean;
  readonly #hasMsix: boolean;

  /** `capabilities` writes the list of capabilities. */
  constructor(
    device: Device,
    bars: readonly PciBar[],
    window: BarWindow,
    options: {
      readonly hasMsix: boolean;
      readonly interruptPending: () => boolean;
      readonly capabilities: (space: DataView) => void;
    },
  ) {
    this.#bars = bars;
    this.#window = window;
    this.#interruptPending = options.interruptPending;
    this.#hasMsix = options.hasMsix;
    const view = this.#view;
    view.setUint16(PciHeader.VENDOR, PCI_VENDOR, true);
    view.setUint16(PciHeader.DEVICE, PCI_DEVICE_BASE + device.type.deviceId, true);
    view.setUint16(PciHeader.STATUS, PciStatus.CAPABILITIES, true);
    view.setUint32(PciHeader.REVISION, ((CLASS_CODES[device.type.deviceId] ?? OTHER_CLASS) << 8) | 1, true);
    view.setUint16(PciHeader.SUBSYSTEM_VENDOR, PCI_VENDOR, true);
    view.setUint16(PciHeader.SUBSYSTEM, 0x1100, true);
    view.setUint8(PciHeader.INTERRUPT_PIN, 1);
    for (const bar of bars) view.setUint32(PciHeader.BAR0 + 4 * bar.index, barType(bar), true);
    options.capabilities(view);
  }

  get command(): number {
    return this.#view.getUint16(PciHeader.COMMAND, true);
  }

  /** The control register of MSI-X; 0 without. */
  get msixControl(): number {
    return this.#hasMsix ? this.#view.getUint16(MSIX_CAP + Msix.CONTROL, true) : 0;
  }

  read(offset: number, width: AccessWidth): number {
    if (!isAligned(offset, width)) return 0;
    if (offset === PCI_CFG_CAP + VirtioPciCap.PCI_CFG_DATA) this.#readWindow();
    this.#showInterrupt();
    return this.#get(offset, width);
  }

  /** Writes what is writable of the addressed bytes. */
  write(offset: number, width: AccessWidth, value: number): void {
    if (!isAligned(offset, width)) return;
    for (let i = 0; i < width; i++) {
      const at = offset + i;
      const mask = this.#mask(at);
      const byte = Math.floor(value / 256 ** i) & 0xff;
      this.bytes[at] = (this.bytes[at]! & ~mask) | (byte & mask);
    }
    if (offset === PCI_CFG_CAP + VirtioPciCap.PCI_CFG_DATA) this.#writeWindow();
  }

  /** What a driver has written, by name. The control register of MSI-X is part of the interrupts' state. */
  save(): Record<string, number> {
    return Object.fromEntries(Object.entries(WRITABLE).map(([name, [at, width]]) => [name, this.#get(at, width)]));
  }

  /** Throws StateError for registers that this function cannot have. */
  check(saved: Readonly<Record<string, unknown>>): void {
    const names = Object.keys(WRITABLE);
    const wrong = names.find((name) => !this.#canBe(WRITABLE[name]!, saved?.[name]));
    if (wrong !== undefined || Object.keys(saved).length !== names.length) {
      throw new StateError(`the saved virtio-pci function has a configuration space that cannot be: ${wrong}`);
    }
  }

  /** Takes over what `check` has found good. */
  restore(saved: Readonly<Record<string, number>>, msixControl: number): void {
    for (const [name, [at, width]] of Object.entries(WRITABLE)) this.write(at, width, saved[name]!);
    if (this.#hasMsix) this.write(MSIX_CAP + Msix.CONTROL, 2, msixControl);
  }

  /** Whether a register could have been written to have this value: its fixed bits are as they are here. */
  #canBe([at, width]: readonly [number, AccessWidth], value: unknown): boolean {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= 2 ** (8 * width)) return false;
    return Array.from({ length: width }, (_, n) => n).every((n) => {
      const byte = Math.floor((value as number) / 256 ** n) & 0xff;
      return ((byte ^ this.bytes[at + n]!) & ~this.#mask(at + n) & 0xff) === 0;
    });
  }

  #get(offset: number, width: AccessWidth): number {
    return width === 1
      ? this.#view.getUint8(offset)
      : width === 2
        ? this.#view.getUint16(offset, true)
        : this.#view.getUint32(offset, true);
  }

  /** The bits of a byte that a write changes. */
  #mask(at: number): number {
    if (at === PciHeader.COMMAND) return WRITABLE_COMMAND & 0xff;
    if (at === PciHeader.COMMAND + 1) return WRITABLE_COMMAND >> 8;
    if (at === PciHeader.INTERRUPT_LINE) return 0xff;
    if (this.#hasMsix && at === MSIX_CAP + Msix.CONTROL + 1) return (Msix.ENABLE | Msix.MASK_ALL) >> 8;
    const inWindow = at - PCI_CFG_CAP;
    if (inWindow === VirtioPciCap.BAR || (inWindow >= VirtioPciCap.OFFSET && inWindow < VirtioPciCap.BYTES + 4))
      return 0xff;
    const bar = this.#bars.find(({ index }) => at >= PciHeader.BAR0 + 4 * index && at < PciHeader.BAR0 + 4 * index + 4);
    if (bar === undefined) return 0;
    const byte = at - PciHeader.BAR0 - 4 * bar.index;
    return (~(bar.size - 1) >>> (8 * byte)) & 0xff;
  }

  #showInterrupt(): void {
    const status = this.#view.getUint16(PciHeader.STATUS, true) & ~PciStatus.INTERRUPT;
    this.#view.setUint16(PciHeader.STATUS, status | (this.#interruptPending() ? PciStatus.INTERRUPT : 0), true);
  }

  #readWindow(): void {
    const access = this.#windowAccess();
    const value = access === undefined ? 0 : this.#window.readBar(access.bar, access.offset, access.width);
    this.#view.setUint32(PCI_CFG_CAP + VirtioPciCap.PCI_CFG_DATA, value >>> 0, true);
  }

  #writeWindow(): void {
    const access = this.#windowAccess();
    if (access === undefined) return;
    const value = this.#view.getUint32(PCI_CFG_CAP + VirtioPciCap.PCI_CFG_DATA, true);
    this.#window.writeBar(access.bar, access.offset, access.width, value);
  }

  #windowAccess(): { bar: number; offset: number; width: AccessWidth } | undefined {
    const bar = this.bytes[PCI_CFG_CAP + VirtioPciCap.BAR]!;
    const offset = this.#view.getUint32(PCI_CFG_CAP + VirtioPciCap.OFFSET, true);
    const width = this.#view.getUint32(PCI_CFG_CAP + VirtioPciCap.SIZE, true);
    return (width === 1 || width === 2 || width === 4) && offset % width === 0 ? { bar, offset, width } : undefined;
  }
}

/** Low bits of a BAR: I/O space, or 32-bit memory space. */
function barType(bar: PciBar): number {
  return bar.kind === 'io' ? 1 : 0;
}

function isAligned(offset: number, width: AccessWidth): boolean {
  return offset >= 0 && offset + width <= 256 && offset % width === 0;
}
