import type { DriverTransport } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import type { FeatureSet } from '../../spec/features.ts';
import { Variation } from './variation.ts';

/** The registers of a device within the same thread. */
interface Registers extends DriverTransport {
  readStatus(): number;
  readFeatures(): FeatureSet;
}

/** A device as its driver sees it over calls, varied. */
export class VariedDevice implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly variation: Variation = new Variation();
  /** Called before the driver is told of anything. */
  onInterrupt: (cause: 'used' | 'config') => void = () => {};
  readonly #device: Registers;

  constructor(device: Registers) {
    this.#device = device;
    this.deviceId = device.deviceId;
    device.onUsedBuffer = () => this.#notify('used');
    device.onConfigChange = () => this.#notify('config');
  }

  /** Notifications for which there is no reason. */
  notifyForNothing(): void {
    this.#notify('used');
    this.#notify('config');
  }

  #notify(cause: 'used' | 'config'): void {
    this.onInterrupt(cause);
    if (cause === 'used') this.onUsedBuffer?.();
    else this.onConfigChange?.();
  }

  readStatus(): number {
    return this.variation.shown(() => this.#device.readStatus());
  }

  writeStatus(value: number): void {
    this.variation.written(value, () => this.#device.writeStatus(value));
  }

  readFeatures(): FeatureSet {
    return this.variation.offered(this.#device.readFeatures());
  }

  writeFeatures(features: FeatureSet): void {
    this.#device.writeFeatures(features);
  }

  readQueueSize(index: number): ReturnType<DriverTransport['readQueueSize']> {
    return this.#device.readQueueSize(index);
  }

  enableQueue(index: number, layout: QueueLayout): void {
    this.#device.enableQueue(index, layout);
  }

  resetQueue(index: number): void {
    this.#device.resetQueue(index);
  }

  queueIsReset(index: number): ReturnType<DriverTransport['queueIsReset']> {
    return this.#device.queueIsReset(index);
  }

  readConfigGeneration(): ReturnType<DriverTransport['readConfigGeneration']> {
    return this.#device.readConfigGeneration();
  }

  readConfig(offset: number, width: AccessWidth): ReturnType<DriverTransport['readConfig']> {
    return this.#device.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#device.writeConfig(offset, width, value);
  }

  kick(queue: number, next?: number): void {
    this.variation.kicked(() => this.#device.kick(queue, next));
  }
}
