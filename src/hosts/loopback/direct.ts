import type { Device } from '../../device/device.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import type { FeatureSet } from '../../spec/features.ts';

/**
 * A transport without registers: a driver calls its device. The shortest way from one end to the other; everything,
 * interrupts included, happens within the call.
 */
export class DirectTransport implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  #device!: Device;

  constructor(device: Device) {
    this.deviceId = device.type.deviceId;
    this.connect(device);
  }

  /** Puts another device behind the driver, as when a saved state goes on in a new one. */
  connect(device: Device): void {
    this.#device = device;
    device.transport = {
      usedBuffer: () => this.onUsedBuffer?.(),
      configChange: () => this.onConfigChange?.(),
      reset: () => {},
    };
  }

  readStatus(): number {
    return this.#device.status;
  }

  writeStatus(value: number): void {
    this.#device.writeStatus(value);
  }

  readFeatures(): FeatureSet {
    return this.#device.offered;
  }

  writeFeatures(features: FeatureSet): void {
    for (let word = 0; word < 4; word++) {
      this.#device.writeFeatures(word, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
  }

  readQueueSize(index: number): number {
    return this.#device.queues[index]?.size ?? 0;
  }

  enableQueue(index: number, layout: QueueLayout): void {
    this.#device.configureQueue(index, (slot) => Object.assign(slot, layout));
    this.#device.enableQueue(index);
  }

  readConfigGeneration(): number {
    return this.#device.configGeneration;
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#device.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#device.writeConfig(offset, width, value);
  }

  resetQueue(index: number): void {
    this.#device.resetQueue(index);
  }

  queueIsReset(index: number): boolean {
    return this.#device.queues[index]?.enabled !== true;
  }

  kick(queue: number): void {
    this.#device.kick(queue);
  }
}
