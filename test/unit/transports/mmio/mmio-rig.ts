import { Device } from '../../../../src/device/device.ts';
import type { DeviceOptions } from '../../../../src/device/device-options.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { Mmio } from '../../../../src/spec/mmio.ts';
import { MmioDevice, type MmioDeviceOptions } from '../../../../src/transports/mmio/device.ts';
import { NEXT, RawQueue, WRITE } from '../../../support/raw-queue.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';

/** A block device behind MMIO registers, and a queue that the test writes. */
export class MmioRig {
  readonly memory: GuestMemory = GuestMemory.over(new Uint8Array(0x8000));
  readonly disk: RecordingDisk = new RecordingDisk();
  readonly device: Device;
  readonly mmio: MmioDevice;
  readonly queue: RawQueue;
  /** Levels of the interrupt line, in the order in which they were told. */
  readonly line: boolean[] = [];

  constructor(options: MmioDeviceOptions = {}, device: DeviceOptions = {}) {
    this.device = new Device(new BlockDevice(this.disk, { queues: 2, queueSize: 16 }), this.memory, device);
    this.mmio = new MmioDevice(this.device, options);
    this.mmio.onInterruptLine = (asserted) => this.line.push(asserted);
    this.queue = new RawQueue(this.memory, 16, 0x1000);
  }

  read(register: number): number {
    return this.mmio.read(register, 4);
  }

  write(register: number, value: number): void {
    this.mmio.write(register, 4, value);
  }

  get status(): number {
    return this.read(Mmio.STATUS);
  }

  accept(features: bigint = this.device.offered): void {
    for (const word of [0, 1]) {
      this.write(Mmio.DRIVER_FEATURES_SEL, word);
      this.write(Mmio.DRIVER_FEATURES, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
  }

  setUpQueue(index = 0): void {
    const { size, descriptorArea, driverArea, deviceArea } = this.queue.layout;
    this.write(Mmio.QUEUE_SEL, index);
    this.write(Mmio.QUEUE_SIZE, size);
    for (const [register, address] of [
      [Mmio.QUEUE_DESC, descriptorArea],
      [Mmio.QUEUE_DRIVER, driverArea],
      [Mmio.QUEUE_DEVICE, deviceArea],
    ] as const) {
      this.write(register, address);
      this.write(register + 4, 0);
    }
    this.write(Mmio.QUEUE_READY, 1);
  }

  /** Up to DRIVER_OK, with queue 0 enabled. */
  start(features?: bigint): this {
    this.write(Mmio.STATUS, 0x03);
    this.accept(features);
    this.write(Mmio.STATUS, 0x0b);
    this.setUpQueue();
    this.write(Mmio.STATUS, 0x0f);
    return this;
  }

  /** A read of sector 0, made available and told. */
  use(): void {
    const { view } = this.memory.regions[0]!;
    this.queue.usedEvent = this.queue.usedIndex;
    view.setUint32(0x4000, 0, true);
    view.setBigUint64(0x4008, 0n, true);
    this.queue
      .descriptor(0, { address: 0x4000, length: 16, flags: NEXT, next: 1 })
      .descriptor(1, { address: 0x5000, length: 512, flags: NEXT | WRITE, next: 2 })
      .descriptor(2, { address: 0x4100, length: 1, flags: WRITE })
      .offer(0);
    this.write(Mmio.QUEUE_NOTIFY, 0);
  }
}
