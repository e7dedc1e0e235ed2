import { Device } from '../../../../src/device/device.ts';
import type { DeviceOptions } from '../../../../src/device/device-options.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { PCI_CAPABILITY_VENDOR, PciCommon, PciHeader, VirtioPciCap } from '../../../../src/spec/pci.ts';
import { ioLayout, memoryLayout, PciDevice, type PciLayout } from '../../../../src/transports/pci/device.ts';
import type { PciFunction } from '../../../../src/transports/pci/function.ts';
import { NEXT, RawQueue, WRITE } from '../../../support/raw-queue.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';

export const layouts: Readonly<Record<string, PciLayout>> = { 'an I/O BAR': ioLayout, 'a memory BAR': memoryLayout };

/** A block device as a PCI function, with registers by name and a queue that the test writes. */
export class PciRig {
  readonly layout: PciLayout;
  readonly memory: GuestMemory = GuestMemory.over(new Uint8Array(0x8000));
  readonly disk: RecordingDisk = new RecordingDisk();
  readonly device: Device;
  readonly pci: PciDevice;
  readonly queue: RawQueue;
  /** Levels of INTx, in the order in which they were told. */
  readonly line: boolean[] = [];

  constructor(layout: PciLayout = ioLayout, options: DeviceOptions = {}, vectors = 0) {
    this.layout = layout;
    this.device = new Device(new BlockDevice(this.disk, { queues: 2, queueSize: 16 }), this.memory, options);
    this.pci = new PciDevice(this.device, { layout, vectors });
    this.pci.onInterruptLine = (asserted) => this.line.push(asserted);
    this.queue = new RawQueue(this.memory, 16, 0x1000);
  }

  /** A common register, with its own width. */
  read(register: number): number {
    const { bar, offset } = this.layout.structures.common;
    return this.pci.readBar(bar, offset + register, widthOf(register));
  }

  write(register: number, value: number): void {
    const { bar, offset } = this.layout.structures.common;
    this.pci.writeBar(bar, offset + register, widthOf(register), value);
  }

  get isr(): number {
    const { bar, offset } = this.layout.structures.isr;
    return this.pci.readBar(bar, offset, 1);
  }

  config(offset: number, width: 1 | 2 | 4): number {
    const { device } = this.layout.structures;
    return this.pci.readBar(device.bar, device.offset + offset, width);
  }

  notify(queue: number): void {
    const { bar, offset, multiplier } = this.layout.structures.notify;
    this.pci.writeBar(bar, offset + queue * multiplier, 2, queue);
  }

  accept(features: bigint = this.device.offered): void {
    for (const word of [0, 1]) {
      this.write(PciCommon.DRIVER_FEATURE_SELECT, word);
      this.write(PciCommon.DRIVER_FEATURE, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
  }

  setUpQueue(index = 0): void {
    const { size, descriptorArea, driverArea, deviceArea } = this.queue.layout;
    this.write(PciCommon.QUEUE_SELECT, index);
    this.write(PciCommon.QUEUE_SIZE, size);
    for (const [register, address] of [
      [PciCommon.QUEUE_DESC, descriptorArea],
      [PciCommon.QUEUE_DRIVER, driverArea],
      [PciCommon.QUEUE_DEVICE, deviceArea],
    ] as const) {
      this.write(register, address);
      this.write(register + 4, 0);
    }
    this.write(PciCommon.QUEUE_ENABLE, 1);
  }

  /** Up to DRIVER_OK, with the one queue enabled. */
  start(features?: bigint): this {
    this.write(PciCommon.DEVICE_STATUS, 0x03);
    this.accept(features);
    this.write(PciCommon.DEVICE_STATUS, 0x0b);
    this.setUpQueue();
    this.write(PciCommon.DEVICE_STATUS, 0x0f);
    return this;
  }

  /** Makes a read of sector 0 available, at descriptors 0 to 2. */
  offerRead(): void {
    const { view } = this.memory.regions[0]!;
    view.setUint32(0x4000, 0, true);
    view.setBigUint64(0x4008, 0n, true);
    this.queue
      .descriptor(0, { address: 0x4000, length: 16, flags: NEXT, next: 1 })
      .descriptor(1, { address: 0x5000, length: 512, flags: NEXT | WRITE, next: 2 })
      .descriptor(2, { address: 0x4100, length: 1, flags: WRITE })
      .offer(0);
  }
}

const HALVES: number = PciCommon.QUEUE_DESC;

export function widthOf(register: number): 1 | 2 | 4 {
  if (register === PciCommon.DEVICE_STATUS || register === PciCommon.CONFIG_GENERATION) return 1;
  if (register < PciCommon.CONFIG_MSIX_VECTOR) return 4;
  return register >= HALVES && register < PciCommon.QUEUE_NOTIF_CONFIG_DATA ? 4 : 2;
}

export interface FoundCapability {
  readonly at: number;
  readonly length: number;
  readonly type: number;
  readonly bar: number;
  readonly offset: number;
  readonly size: number;
}

/** The vendor capabilities of a function, read as a driver reads them. */
export function capabilitiesOf(fn: PciFunction): FoundCapability[] {
  const found: FoundCapability[] = [];
  for (let at = fn.readConfig(PciHeader.CAPABILITIES, 1); at !== 0; at = fn.readConfig(at + VirtioPciCap.NEXT, 1)) {
    if (found.length > 48) throw new Error('the list has no end');
    if (fn.readConfig(at + VirtioPciCap.VENDOR, 1) !== PCI_CAPABILITY_VENDOR) continue;
    found.push({
      at,
      length: fn.readConfig(at + VirtioPciCap.LENGTH, 1),
      type: fn.readConfig(at + VirtioPciCap.TYPE, 1),
      bar: fn.readConfig(at + VirtioPciCap.BAR, 1),
      offset: fn.readConfig(at + VirtioPciCap.OFFSET, 4),
      size: fn.readConfig(at + VirtioPciCap.SIZE, 4),
    });
  }
  return found;
}
