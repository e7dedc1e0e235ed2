import type { Device } from '../../device/device.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { recordRings } from '../../record/device.ts';
import type { Recorder } from '../../record/recorder.ts';
import { placesOf, recordedFunction } from '../../record/transports.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { Isr, PciCommon } from '../../spec/pci.ts';
import { ioLayout, PciDevice } from '../../transports/pci/device.ts';
import type { PciBar, PciFunction } from '../../transports/pci/function.ts';
import { Variation } from './variation.ts';

/** A device as its driver is to see it over PCI, with a recorder between the two: what the driver sees is what counts. */
export function recordVariedFunction(
  recorder: Recorder,
  device: Device,
  memory: GuestMemory,
): { readonly varied: VariedFunction; readonly pci: PciFunction } {
  recordInterrupts(recorder, device, memory);
  const varied = new VariedFunction(new PciDevice(device, { layout: ioLayout }));
  varied.onNothing = () => {
    recorder.event({ kind: 'interrupt', cause: 'used' });
    recorder.event({ kind: 'interrupt', cause: 'config' });
  };
  return { varied, pci: recordedFunction(recorder, varied, placesOf(ioLayout.structures)) };
}

/** Records what a device does in its queues and tells, and not what it shows, which a driver may not get to see. */
export function recordInterrupts(recorder: Recorder, device: Device, memory: GuestMemory): void {
  recordRings(recorder, device, memory);
  device.observer = {
    usedNotified: (queue) => recorder.event({ kind: 'interrupt', cause: 'used', queue }),
    configNotified: () => recorder.event({ kind: 'interrupt', cause: 'config' }),
  };
}

const { common, isr, notify } = ioLayout.structures;
const STATUS = common.offset + PciCommon.DEVICE_STATUS;
const FEATURE_SELECT = common.offset + PciCommon.DEVICE_FEATURE_SELECT;
const FEATURE = common.offset + PciCommon.DEVICE_FEATURE;

/** A device as its driver sees it through the registers of a PCI function with the layout for I/O, varied. */
export class VariedFunction implements PciFunction {
  readonly name: string;
  readonly bars: readonly PciBar[];
  onInterruptLine: ((asserted: boolean) => void) | undefined;
  /** Called before the driver is told of nothing. */
  onNothing: () => void = () => {};
  readonly variation: Variation = new Variation();
  readonly #pci: PciDevice;
  /** What the interrupt status says besides, for nothing. */
  #spurious = 0;
  #featureWord = 0;
  #told = false;

  constructor(pci: PciDevice) {
    this.#pci = pci;
    this.name = pci.name;
    this.bars = pci.bars;
    pci.onInterruptLine = () => this.#tell();
  }

  get configSpace(): Uint8Array {
    return this.#pci.configSpace;
  }

  get interruptLine(): boolean {
    return this.#pci.interruptLine || this.#spurious !== 0;
  }

  /** Notifications for which there is no reason. */
  notifyForNothing(): void {
    this.onNothing();
    this.#spurious = Isr.QUEUE | Isr.CONFIG;
    this.#tell();
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#pci.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#pci.writeConfig(offset, width, value);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    const own = (): number => this.#pci.readBar(bar, offset, width);
    if (offset === STATUS) return this.variation.shown(own);
    if (offset === FEATURE) return this.#offered(own());
    if (offset !== isr.offset) return own();
    const value = own() | this.#spurious;
    this.#spurious = 0;
    this.#tell();
    return value;
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    const write = (): void => this.#pci.writeBar(bar, offset, width, value);
    if (offset === STATUS) this.#writeStatus(value, write);
    else if (offset >= notify.offset && offset < notify.offset + notify.length) this.variation.kicked(write);
    else {
      if (offset === FEATURE_SELECT) this.#featureWord = value;
      write();
    }
  }

  save(): unknown {
    return this.#pci.save();
  }

  restore(state: unknown): void {
    this.#pci.restore(state);
  }

  #writeStatus(value: number, write: () => void): void {
    if (value === 0) this.#spurious = 0;
    this.variation.written(value, write);
    this.#tell();
  }

  #offered(own: number): number {
    const at = BigInt(32 * this.#featureWord);
    return Number((this.variation.offered(BigInt(own) << at) >> at) & 0xffff_ffffn);
  }

  #tell(): void {
    const asserted = this.interruptLine;
    if (asserted === this.#told) return;
    this.#told = asserted;
    this.onInterruptLine?.(asserted);
  }
}
