import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';

/** Fills `bytes` with random bytes, now or later. A throw or rejection fails the device. */
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
 * never delays a suspend, and no buffer is used without a byte; what the source brings meanwhile is kept for the next one.
 * Fetched bytes are not part of a saved state: two machines that go on from the same one do not share them.
 */
export class EntropyDevice implements DeviceType {
  readonly deviceId: number = DeviceId.ENTROPY;
  readonly features: FeatureSet = 0n;
  readonly queues: readonly QueueDescription[] = [{ maxSize: 64, taking: 'onDemand' }];
  readonly #source: EntropySource;
  #port!: DevicePort;
  /** Fetched, and in nobody's buffer yet from `#used` on. */
  #bytes = new Uint8Array(0);
  #used = 0;
  /** What the source is filling now. */
  #awaited: Uint8Array<ArrayBuffer> | undefined;

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

  /** What a source was asked in a former life is no longer waited for, and its failure is of no interest. */
  reset(): void {
    this.#awaited = undefined;
  }

  #serve(): void {
    while (this.#used < this.#bytes.length || this.#fetch()) {
      const chain = this.#port.take(0);
      if (chain === undefined) return;
      const fault = faultOf(chain);
      if (fault !== undefined) {
        this.#port.fail(fault);
        this.#port.complete(0, chain, 0);
        return;
      }
      const start = this.#used;
      const length = Math.min(chain.writableBytes, this.#bytes.length - start);
      chain.write(0, this.#bytes, start, length);
      // Nobody gets the same bytes again, not even from a memory dump.
      this.#bytes.fill(0, start, start + length);
      this.#used = start + length;
      this.#port.complete(0, chain, length);
    }
  }

  /** Asks the source for bytes; true when they are there already. */
  #fetch(): boolean {
    if (this.#awaited !== undefined) return false;
    const bytes = new Uint8Array(CHUNK);
    this.#awaited = bytes;
    try {
      const filled = this.#source(bytes);
      if (filled === undefined) {
        this.#arrived(bytes);
        return true;
      }
      filled.then(
        () => {
          if (this.#awaited !== bytes) return;
          this.#arrived(bytes);
          this.#serve();
        },
        (error: unknown) => this.#sourceFailed(bytes, error),
      );
    } catch (error) {
      this.#sourceFailed(bytes, error);
    }
    return false;
  }

  #arrived(bytes: Uint8Array<ArrayBuffer>): void {
    this.#awaited = undefined;
    this.#bytes = bytes;
    this.#used = 0;
  }

  #sourceFailed(bytes: Uint8Array, error: unknown): void {
    if (this.#awaited !== bytes) return;
    this.#awaited = undefined;
    this.#port.fail(error instanceof Error ? error : new Error(String(error)));
  }
}

function faultOf(chain: Chain): ProtocolError | undefined {
  if (chain.readableBytes > 0) {
    return new ProtocolError('rng.driver.1', `a buffer of ${chain.readableBytes} device-readable bytes`);
  }
  if (chain.writableBytes === 0) {
    return new ProtocolError('rng.driver.empty', 'a buffer without a byte, which no random byte can be placed into');
  }
  return undefined;
}
