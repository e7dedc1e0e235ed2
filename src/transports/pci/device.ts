import type { Device } from '../../device/device.ts';
import { seal, unseal } from '../../device/sealed.ts';
import { StateError } from '../../spec/fault.ts';
import { Isr, PciCommand, PciCommon } from '../../spec/pci.ts';
import type { RegisterContext, Selectors } from '../registers.ts';
import type { PciStructure, PciStructures } from './capabilities.ts';
import { commonRegisters, notifiedQueue } from './common.ts';
import { PciConfigSpace } from './config-space.ts';
import type { AccessWidth, PciBar, PciFunction } from './function.ts';

/** How the virtio structures lie in BARs. */
export interface PciLayout {
  readonly bars: readonly PciBar[];
  readonly structures: PciStructures;
}

/** One 256-byte I/O BAR: small, and a register access of it is an I/O instruction. */
export const ioLayout: PciLayout = {
  bars: [{ index: 0, kind: 'io', size: 256 }],
  structures: {
    common: { bar: 0, offset: 0x00, length: PciCommon.BYTES },
    isr: { bar: 0, offset: 0x40, length: 1 },
    // One address for all queues: the value that is written names the queue.
    notify: { bar: 0, offset: 0x44, length: 4, multiplier: 0 },
    device: { bar: 0, offset: 0x80, length: 128 },
  },
};

/** One 16 KiB memory BAR with a page for each structure. */
export const memoryLayout: PciLayout = {
  bars: [{ index: 4, kind: 'memory', size: 0x4000 }],
  structures: {
    common: { bar: 4, offset: 0x0000, length: PciCommon.BYTES },
    isr: { bar: 4, offset: 0x1000, length: 1 },
    device: { bar: 4, offset: 0x2000, length: 0x1000 },
    notify: { bar: 4, offset: 0x3000, length: 0x1000, multiplier: 4 },
  },
};

/** One access to a register, for traces. */
export interface RegisterAccess {
  readonly register: string;
  readonly kind: 'read' | 'write';
  readonly width: AccessWidth;
  readonly value: number;
}

export interface PciDeviceOptions {
  /** `memoryLayout` by default. */
  readonly layout?: PciLayout;
  readonly name?: string;
}

const FORMAT = 'virtio-pci function';
const VERSION = 1;

/** The device end of virtio over PCI (§4.1): the registers of one Device, with INTx. */
export class PciDevice implements PciFunction, RegisterContext {
  readonly name: string;
  readonly device: Device;
  readonly bars: readonly PciBar[];
  onInterruptLine: ((asserted: boolean) => void) | undefined;
  onAccess: ((access: RegisterAccess) => void) | undefined;

  readonly #structures: PciStructures;
  readonly #space: PciConfigSpace;
  /** The driver's selectors; for the registers. */
  readonly select: Selectors = { deviceFeature: 0, driverFeature: 0, queue: 0 };
  #isr = 0;
  #line = false;

  constructor(device: Device, options: PciDeviceOptions = {}) {
    const { bars, structures } = options.layout ?? memoryLayout;
    this.device = device;
    this.name = options.name ?? `virtio device ${device.type.deviceId}`;
    this.bars = bars;
    this.#structures = structures;
    this.#space = new PciConfigSpace(device, bars, structures, this, () => this.#isr !== 0);
    device.transport = {
      usedBuffer: () => this.#interrupt(Isr.QUEUE),
      configChange: () => this.#interrupt(Isr.CONFIG),
      reset: () => this.#reset(),
    };
  }

  get configSpace(): Uint8Array {
    return this.#space.bytes;
  }

  get interruptLine(): boolean {
    return this.#line;
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#space.read(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#space.write(offset, width, value);
    this.#updateLine();
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    const { common, isr, device } = this.#structures;
    let register = 'reserved';
    let value = 0;
    if (inside(common, bar, offset, width)) {
      const found = commonRegisters.get(offset - common.offset);
      // §4.1.3.1: fields are accessed with their own width; what is not, reads 0.
      if (found?.width === width) {
        register = found.name;
        value = found.read(this) >>> 0;
      }
    } else if (inside(device, bar, offset, width)) {
      register = `config+${offset - device.offset}`;
      value = this.device.readConfig(offset - device.offset, width);
    } else if (bar === isr.bar && offset === isr.offset) {
      register = 'isr';
      value = this.#readIsr();
    }
    this.onAccess?.({ register, kind: 'read', width, value });
    return value;
  }

  writeBar(bar: number, offset: number, width: AccessWidth, written: number): void {
    const value = width === 4 ? written >>> 0 : written & (2 ** (8 * width) - 1);
    const { common, notify, device } = this.#structures;
    if (inside(notify, bar, offset, width)) {
      if (this.onAccess !== undefined) this.onAccess({ register: 'notify', kind: 'write', width, value });
      if (width !== 1) this.device.kick(notifiedQueue(value));
      return;
    }
    const found = inside(common, bar, offset, width) ? commonRegisters.get(offset - common.offset) : undefined;
    const isConfig = inside(device, bar, offset, width);
    const register = found?.width === width ? found.name : isConfig ? `config+${offset - device.offset}` : 'reserved';
    this.onAccess?.({ register, kind: 'write', width, value });
    if (found?.width === width) found.write?.(this, value);
    else if (isConfig) this.device.writeConfig(offset - device.offset, width, value);
  }

  /** The state of the device and its registers; throws StateError while it is not at rest. */
  save(): unknown {
    return seal(FORMAT, VERSION, { device: this.device.save(), isr: this.#isr, select: { ...this.select } });
  }

  restore(state: unknown): void {
    const body = unseal(state, FORMAT, VERSION) as { device?: unknown; isr?: unknown; select?: Selectors };
    const { isr, select } = body ?? {};
    const limits = [
      [isr, Isr.QUEUE | Isr.CONFIG],
      [select?.deviceFeature, 0xffff_ffff],
      [select?.driverFeature, 0xffff_ffff],
      [select?.queue, 0xffff],
    ] as const;
    if (
      !limits.every(([value, most]) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most)
    ) {
      throw new StateError('the saved virtio-pci function has registers that cannot be');
    }
    this.device.restore(body.device);
    this.#isr = isr as number;
    Object.assign(this.select, select);
    this.#updateLine();
  }

  #readIsr(): number {
    const value = this.#isr;
    this.#isr = 0;
    this.#updateLine();
    return value;
  }

  #interrupt(bit: number): void {
    this.#isr |= bit;
    this.#updateLine();
  }

  #reset(): void {
    this.#isr = 0;
    this.select.deviceFeature = this.select.driverFeature = this.select.queue = 0;
    this.#updateLine();
  }

  #updateLine(): void {
    const asserted = this.#isr !== 0 && (this.#space.command & PciCommand.INTX_DISABLE) === 0;
    if (asserted === this.#line) return;
    this.#line = asserted;
    this.onInterruptLine?.(asserted);
  }
}

function inside(structure: PciStructure, bar: number, offset: number, width: number): boolean {
  return bar === structure.bar && offset >= structure.offset && offset + width <= structure.offset + structure.length;
}
