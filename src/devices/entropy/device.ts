import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';

/** Fills `bytes` with random bytes, now or later. A rejection fails the device. */
export type EntropySource = (bytes: Uint8Array) => void | Promise<void>;

// The core knows no platform's globals; every JavaScript host has this one.
declare const crypto: { getRandomValues(bytes: Uint8Array): Uint8Array };

/** The platform's generator. */
export const systemEntropy: EntropySource = (bytes) => {
  crypto.getRandomValues(bytes);
};

/** Random bytes that are fetched at a time, and so the most that one buffer gets. */
const CHUNK = 256;

/**
 * The entropy device type (§5.4). A buffer is taken only when there are bytes for it, so that a source that makes one wait
 * never delays a suspend; what it brings meanwhile is kept for the next buffer.
 */
export class EntropyDevice implements DeviceType {
  readonly deviceId: number = DeviceId.ENTROPY;
  readonly features: FeatureSet = 0n;
  readonly queues: readonly QueueDescription[] = [{ maxSize: 64, taking: 'onDemand' }];
  readonly #source: EntropySource;
  #port!: DevicePort;
  /** Fetched, and in nobody's buffer yet; from `#used` on. */
  readonly #bytes = new Uint8Array(CHUNK);
  #used: number = CHUNK;
  #fetching = false;

  constructor(source: EntropySource = systemEntropy) {
    this.#source = source;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    return new Uint8Array(0);
  }

  available(): void {
    this.#serve();
  }

  #serve(): void {
    while (this.#used < CHUNK || this.#fetch()) {
      const chain = this.#port.take(0);
      if (chain === undefined) return;
      if (chain.writableBytes === 0) {
        this.#port.fail(new ProtocolError('rng.driver.1', 'a buffer without a device-writable byte'));
        return;
      }
      const length = Math.min(chain.writableBytes, CHUNK - this.#used);
      chain.write(0, this.#bytes, this.#used, length);
      // Nobody gets the same bytes again, not even from a memory dump.
      this.#bytes.fill(0, this.#used, this.#used + length);
      this.#used += length;
      this.#port.complete(0, chain, length);
    }
  }

  /** Fetches bytes; true when they are there already. */
  #fetch(): boolean {
    if (this.#fetching) return false;
    this.#fetching = true;
    const fetched = this.#source(this.#bytes);
    if (fetched === undefined) {
      this.#fetched();
      return true;
    }
    fetched.then(
      () => {
        this.#fetched();
        this.#serve();
      },
      (error: unknown) => this.#port.fail(error instanceof Error ? error : new Error(String(error))),
    );
    return false;
  }

  #fetched(): void {
    this.#fetching = false;
    this.#used = 0;
  }
}
