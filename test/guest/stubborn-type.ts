import type { DevicePort, DeviceType, QueueDescription } from '../../src/device/device-type.ts';
import type { Chain } from '../../src/queue/chain.ts';
import type { FeatureSet } from '../../src/spec/features.ts';

/** A device type whose back-end comes to rest, and back, only as a test wants it to. */
export class StubbornType implements DeviceType {
  readonly deviceId: number;
  readonly features: FeatureSet;
  readonly queues: readonly QueueDescription[];
  /** `hang` lasts until the device is reset. */
  atQuiesce: 'works' | 'fails' | 'hangs' = 'works';
  atWake: 'works' | 'fails' = 'works';
  readonly #type: DeviceType;
  #endHang: (() => void) | undefined;

  constructor(type: DeviceType) {
    this.#type = type;
    this.deviceId = type.deviceId;
    this.features = type.features;
    this.queues = type.queues;
  }

  attach(port: DevicePort): void {
    this.#type.attach(port);
  }

  config(): Uint8Array {
    return this.#type.config();
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    this.#type.writeConfig?.(offset, bytes);
  }

  negotiated(features: FeatureSet): void {
    this.#type.negotiated?.(features);
  }

  alwaysWritable(offset: number, length: number): boolean {
    return this.#type.alwaysWritable?.(offset, length) === true;
  }

  refuse(features: FeatureSet): string | undefined {
    return this.#type.refuse?.(features);
  }

  available(queue: number): void {
    this.#type.available?.(queue);
  }

  process(queue: number, chain: Chain): void {
    this.#type.process?.(queue, chain);
  }

  reset(): void {
    this.#type.reset?.();
    this.#endHang?.();
  }

  quiesce(): void | Promise<void> {
    if (this.atQuiesce === 'fails') throw new Error('the back-end does not come to rest');
    if (this.atQuiesce === 'hangs') {
      return new Promise((resolve) => {
        this.#endHang = resolve;
      });
    }
    return this.#type.quiesce?.();
  }

  wake(): void | Promise<void> {
    if (this.atWake === 'fails') throw new Error('the back-end does not start again');
    return this.#type.wake?.();
  }
}
