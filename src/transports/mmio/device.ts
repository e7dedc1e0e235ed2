import type { Device } from '../../device/device.ts';
import { seal, unseal } from '../../device/sealed.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { StateError } from '../../spec/fault.ts';
import { Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import { areSelectors, isRegister, type Selectors } from '../registers.ts';
import { type MmioContext, mmioRegisters, type SharedMemoryRegion } from './registers.ts';

export interface MmioDeviceOptions {
  readonly vendorId?: number;
  /** With different ids. */
  readonly sharedMemory?: readonly SharedMemoryRegion[];
}

const FORMAT = 'virtio-mmio registers';
const VERSION = 1;
const MOST_QUEUE = 0xffff_ffff;
const INTERRUPTS = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;

/** The device end of virtio over MMIO, version 2 (§4.2): the registers of one Device and its interrupt line. */
export class MmioDevice implements MmioContext {
  readonly device: Device;
  readonly vendorId: number;
  readonly select: Selectors = { deviceFeature: 0, driverFeature: 0, queue: 0 };
  /** Called with the new level of the interrupt line. Set by the host. */
  onInterruptLine: ((asserted: boolean) => void) | undefined;

  readonly #regions: readonly SharedMemoryRegion[];
  #sharedMemorySelect = 0;
  #interruptStatus = 0;

  /** Throws RangeError when two regions have one id. */
  constructor(device: Device, options: MmioDeviceOptions = {}) {
    const regions = options.sharedMemory ?? [];
    if (new Set(regions.map(({ id }) => id)).size < regions.length)
      throw new RangeError('two shared memory regions have one id');
    this.device = device;
    this.vendorId = options.vendorId ?? 0x1af4;
    this.#regions = regions;
    device.transport = {
      usedBuffer: () => this.#interrupt(MmioInterrupt.USED_BUFFER),
      configChange: () => this.#interrupt(MmioInterrupt.CONFIG_CHANGE),
      reset: () => this.#reset(),
    };
  }

  get interruptStatus(): number {
    return this.#interruptStatus;
  }

  get interruptLine(): boolean {
    return this.#interruptStatus !== 0;
  }

  get sharedMemory(): SharedMemoryRegion | undefined {
    return this.#regions.find(({ id }) => id === this.#sharedMemorySelect);
  }

  selectSharedMemory(id: number): void {
    this.#sharedMemorySelect = id;
  }

  acknowledge(bits: number): void {
    this.#setInterrupts(this.#interruptStatus & ~bits);
  }

  /** A register access, `offset` in the device's window. Control registers are 32 bit wide; any other access of them reads 0. */
  read(offset: number, width: AccessWidth): number {
    if (offset >= Mmio.CONFIG) return this.device.readConfig(offset - Mmio.CONFIG, width);
    return width === 4 ? (mmioRegisters.get(offset)?.read?.(this) ?? 0) >>> 0 : 0;
  }

  write(offset: number, width: AccessWidth, value: number): void {
    if (offset >= Mmio.CONFIG) this.device.writeConfig(offset - Mmio.CONFIG, width, value);
    else if (width === 4) mmioRegisters.get(offset)?.write?.(this, value >>> 0);
  }

  /** The state of the device and its registers; throws StateError while it is not at rest. */
  save(): unknown {
    return seal(FORMAT, VERSION, {
      device: this.device.save(),
      interruptStatus: this.#interruptStatus,
      select: { ...this.select },
      sharedMemorySelect: this.#sharedMemorySelect,
    });
  }

  /** Takes over a saved state; throws StateError that names what differs, and changes nothing then. */
  restore(state: unknown): void {
    const body = unseal(state, FORMAT, VERSION) as Partial<SavedRegisters> | null;
    const { interruptStatus, select, sharedMemorySelect } = body ?? {};
    if (
      !areSelectors(select, MOST_QUEUE) ||
      !isRegister(sharedMemorySelect) ||
      !isRegister(interruptStatus, INTERRUPTS)
    ) {
      throw new StateError('the saved virtio-mmio registers have values that cannot be');
    }
    this.device.restore(body?.device);
    Object.assign(this.select, select);
    this.#sharedMemorySelect = sharedMemorySelect;
    this.#setInterrupts(interruptStatus);
  }

  #interrupt(bit: number): void {
    this.#setInterrupts(this.#interruptStatus | bit);
  }

  #setInterrupts(bits: number): void {
    const before = this.interruptLine;
    this.#interruptStatus = bits;
    if (this.interruptLine !== before) this.onInterruptLine?.(this.interruptLine);
  }

  #reset(): void {
    this.select.deviceFeature = this.select.driverFeature = this.select.queue = 0;
    this.#sharedMemorySelect = 0;
    this.#setInterrupts(0);
  }
}

interface SavedRegisters {
  readonly device: unknown;
  readonly interruptStatus: number;
  readonly select: Selectors;
  readonly sharedMemorySelect: number;
}
