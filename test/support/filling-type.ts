import type { DevicePort, DeviceType, QueueDescription } from '../../src/device/device-type.ts';
import type { Chain } from '../../src/queue/chain.ts';

export const FILLER = 0x5a;

/** A device type that does what a device may do at most: it reads all device-readable bytes and fills all device-writable ones. */
export class FillingType implements DeviceType {
  readonly deviceId: number = 63;
  readonly features: bigint = 0n;
  readonly queues: readonly QueueDescription[];
  /** Requests that were served. */
  served = 0;
  #port!: DevicePort;

  constructor(queueSize = 256) {
    this.queues = [{ maxSize: queueSize, taking: 'eager' }];
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    return new Uint8Array(8);
  }

  process(queue: number, chain: Chain): void {
    for (let at = 0; at < chain.readableBytes; at++) chain.readU8(at);
    const { writableBytes } = chain;
    chain.write(0, new Uint8Array(writableBytes).fill(FILLER), 0, writableBytes);
    this.served++;
    this.#port.complete(queue, chain, writableBytes);
  }
}
