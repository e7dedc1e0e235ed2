import type { Device } from '../../device/device.ts';
import { seal, unseal } from '../../device/sealed.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { StateError } from '../../spec/fault.ts';
import { Msix, PciCommand, PciCommon } from '../../spec/pci.ts';
import { areSelectors, type Selectors } from '../registers.ts';
import {
  type MsixPlace,
  type PciStructure,
  type PciStructures,
  type SharedMemoryStructure,
  writeCapabilities,
} from './capabilities.ts';
import { commonRegisters, notifiedQueue, type PciRegisterContext } from './common.ts';
import { PciConfigSpace } from './config-space.ts';
import type { PciBar, PciFunction } from './function.ts';
import { PciInterrupts, type SavedInterrupts } from './interrupts.ts';

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
  /** MSI-X vectors, up to 2048, with a memory BAR of their own, number 1. None by default: then there is INTx alone. */
  readonly vectors?: number;
}

const FORMAT = 'virtio-pci function';
const VERSION = 2;
const MOST_QUEUE = 0xffff;
/** The BAR of table and pending bits, with a half for each. */
const MSIX_BAR = 1;
const SMALLEST_MSIX_BAR = 4096;

/** The device end of virtio over PCI (§4.1): the registers of one Device, with INTx or MSI-X. */
export class PciDevice implements PciFunction, PciRegisterContext {
  readonly name: string;
  readonly device: Device;
  readonly bars: readonly PciBar[];
  onAccess: ((access: RegisterAccess) => void) | undefined;

  readonly #structures: PciStructures;
  readonly #space: PciConfigSpace;
  /** The driver's selectors; for the registers. */
  readonly select: Selectors = { deviceFeature: 0, driverFeature: 0, queue: 0 };
  /** For the registers. */
  readonly interrupts: PciInterrupts;
  readonly #msix: MsixPlace | undefined;

  /** Throws RangeError for a layout or a number of vectors that no function can have. */
  constructor(device: Device, options: PciDeviceOptions = {}) {
    const { layout = memoryLayout, vectors = 0 } = options;
    this.device = device;
    this.name = options.name ?? `virtio device ${device.type.deviceId}`;
    this.#msix = vectors === 0 ? undefined : placeOfMsix(vectors, layout.bars);
    this.bars = this.#msix === undefined ? layout.bars : [...layout.bars, msixBar(this.#msix)];
    this.#structures = layout.structures;
    requireRegions(layout.structures.sharedMemory ?? [], layout.bars);
    const isIntxDisabled = (): boolean => (this.#space.command & PciCommand.INTX_DISABLE) !== 0;
    this.interrupts = new PciInterrupts(device.queues.length, vectors, isIntxDisabled);
    this.#space = new PciConfigSpace(device, this.bars, this, {
      hasMsix: vectors > 0,
      interruptPending: () => this.interrupts.pending,
      capabilities: (space) => writeCapabilities(space, layout.structures, this.#msix),
    });
    device.transport = {
      usedBuffer: (queue) => this.interrupts.usedBuffer(queue),
      configChange: () => this.interrupts.configChange(),
      reset: () => this.#reset(),
    };
  }

  get configSpace(): Uint8Array {
    return this.#space.bytes;
  }

  get interruptLine(): boolean {
    return this.interrupts.line;
  }

  get onInterruptLine(): ((asserted: boolean) => void) | undefined {
    return this.interrupts.onLine;
  }

  set onInterruptLine(listener: ((asserted: boolean) => void) | undefined) {
    this.interrupts.onLine = listener;
  }

  /** See `PciFunction`; nobody is called for a function without vectors. */
  get onMessage(): ((address: number, data: number) => void) | undefined {
    return this.interrupts.msix?.onMessage;
  }

  set onMessage(listener: ((address: number, data: number) => void) | undefined) {
    if (this.interrupts.msix !== undefined) this.interrupts.msix.onMessage = listener;
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#space.read(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#space.write(offset, width, value);
    this.#controlsWritten();
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
      value = this.interrupts.readIsr();
    } else if (bar === this.#msix?.bar) {
      register = 'msix';
      value = this.#readMsix(offset, width);
    }
    this.onAccess?.({ register, kind: 'read', width, value });
    return value;
  }

  writeBar(bar: number, offset: number, width: AccessWidth, written: number): void {
    const value = width === 4 ? written >>> 0 : written & (2 ** (8 * width) - 1);
    const { common, notify, device } = this.#structures;
    if (bar === this.#msix?.bar) {
      this.onAccess?.({ register: 'msix', kind: 'write', width, value });
      if (offset < this.#msix.pendingOffset) this.interrupts.msix!.writeTable(offset, width, value);
      return;
    }
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
    const { device, interrupts, select } = this;
    return seal(FORMAT, VERSION, {
      device: device.save(),
      interrupts: interrupts.save(),
      select: { ...select },
      space: this.#space.save(),
    });
  }

  restore(state: unknown): void {
    const body = unseal(state, FORMAT, VERSION) as Partial<SavedFunctionBody> | null;
    const { interrupts, select, space } = body ?? {};
    if (!isObject(interrupts) || !isObject(space) || !areSelectors(select, MOST_QUEUE)) {
      throw new StateError('the saved virtio-pci function has registers that cannot be');
    }
    this.interrupts.check(interrupts);
    this.#space.check(space);
    this.device.restore(body!.device);
    Object.assign(this.select, select);
    this.#space.restore(space, interrupts.msix?.control ?? 0);
    this.interrupts.restore(interrupts);
  }

  #readMsix(offset: number, width: AccessWidth): number {
    const { pendingOffset } = this.#msix!;
    const table = this.interrupts.msix!;
    return offset < pendingOffset ? table.readTable(offset, width) : table.readPending(offset - pendingOffset, width);
  }

  #reset(): void {
    this.select.deviceFeature = this.select.driverFeature = this.select.queue = 0;
    this.interrupts.reset();
  }

  /** Configuration space was written: what interrupts depend on may have changed. */
  #controlsWritten(): void {
    const { msix } = this.interrupts;
    if (msix !== undefined) msix.control = this.#space.msixControl;
    this.interrupts.update();
  }
}

interface SavedFunctionBody {
  readonly device: unknown;
  readonly interrupts: SavedInterrupts;
  readonly select: Selectors;
  readonly space: Readonly<Record<string, number>>;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** §4.1.4.7.1: regions lie in their BARs, and have ids of their own. */
function requireRegions(regions: readonly SharedMemoryStructure[], bars: readonly PciBar[]): void {
  const ids = new Set<number>();
  for (const { id, bar, offset, length } of regions) {
    if (ids.has(id)) throw new RangeError(`two shared memory regions have the id ${id}`);
    ids.add(id);
    const { size = 0 } = bars.find(({ index }) => index === bar) ?? {};
    if (offset + length > size) throw new RangeError(`shared memory region ${id} is not inside BAR ${bar}`);
  }
}

function placeOfMsix(vectors: number, bars: readonly PciBar[]): MsixPlace {
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > Msix.LAST_VECTOR + 1) {
    throw new RangeError(`a function has up to ${Msix.LAST_VECTOR + 1} MSI-X vectors, not ${vectors}`);
  }
  if (bars.some(({ index }) => index === MSIX_BAR)) {
    throw new RangeError(`BAR ${MSIX_BAR} of the layout is needed for MSI-X`);
  }
  const half = Math.max(SMALLEST_MSIX_BAR / 2, 2 ** Math.ceil(Math.log2(vectors * Msix.ENTRY_BYTES)));
  return { bar: MSIX_BAR, vectors, tableOffset: 0, pendingOffset: half };
}

function msixBar({ bar, pendingOffset }: MsixPlace): PciBar {
  return { index: bar, kind: 'memory', size: 2 * pendingOffset };
}

function inside(structure: PciStructure, bar: number, offset: number, width: number): boolean {
  return bar === structure.bar && offset >= structure.offset && offset + width <= structure.offset + structure.length;
}
