import type { GuestAddress } from '../memory/guest-memory.ts';

/**
 * The buffers of one request as a driver offers them: device-readable ones first, then device-writable ones (§2.7.4.2).
 * Made once and filled again for each request; no allocation once its arrays have grown.
 */
export class BufferList {
  readonly addresses: GuestAddress[] = [];
  readonly lengths: number[] = [];
  count = 0;
  readableCount = 0;
  writableBytes = 0;

  clear(): this {
    this.count = 0;
    this.readableCount = 0;
    this.writableBytes = 0;
    return this;
  }

  addReadable(address: GuestAddress, length: number): this {
    if (this.readableCount !== this.count)
      throw new RangeError('device-readable buffers come before device-writable ones');
    this.#add(address, length);
    this.readableCount++;
    return this;
  }

  addWritable(address: GuestAddress, length: number): this {
    this.#add(address, length);
    this.writableBytes += length;
    return this;
  }

  #add(address: GuestAddress, length: number): void {
    if (!(length >= 1 && length <= 0xffff_ffff))
      throw new RangeError(`a buffer has 1 to 2^32 - 1 bytes, not ${length}`);
    if (!(address >= 0 && address <= Number.MAX_SAFE_INTEGER)) throw new RangeError(`${address} is no address`);
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count++;
  }
}
