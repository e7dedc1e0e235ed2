import { Driver, type DriverOptions, type TransitionOptions } from '../../driver/driver.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError } from '../../spec/fault.ts';

/** Bytes that are asked for at a time. */
const PIECE = 1024;

/** An entropy driver (§5.4). Any number of reads may be out. */
export class EntropyDriver {
  readonly driver: Driver;
  readonly #allocator: GuestAllocator;

  constructor(transport: DriverTransport, allocator: GuestAllocator, options: DriverOptions = {}) {
    this.#allocator = allocator;
    const type = { deviceId: DeviceId.ENTROPY, features: 0n, queueCount: async () => 1 };
    this.driver = new Driver(type, transport, allocator, options);
  }

  /** Initialises the device; also after it failed. */
  initialize(): Promise<void> {
    return this.driver.initialize();
  }

  /** See `Driver.suspend`. */
  suspend(options?: TransitionOptions): Promise<void> {
    return this.driver.suspend(options);
  }

  /** See `Driver.resume`. */
  resume(options?: TransitionOptions): Promise<void> {
    return this.driver.resume(options);
  }

  /**
   * `length` random bytes, however few the device gives at a time; a suspend meanwhile only delays them. Rejects with
   * StateError when it comes while the device is not running, with ProtocolError when the device uses a buffer without
   * giving a byte, and with what ended the device when it is lost.
   */
  async read(length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`${length} bytes cannot be read`);
    this.driver.requireRunning('read');
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    const slice = this.#allocator.allocate(Math.min(length, PIECE));
    const { region, offset } = slice;
    try {
      for (let done = 0; done < length; ) {
        const written = await this.#fill(slice, Math.min(slice.length, length - done));
        if (written === 0)
          throw new ProtocolError('rng.device.1', 'the device used a buffer and placed no byte into it');
        bytes.set(region.bytes.subarray(offset, offset + written), done);
        done += written;
      }
    } finally {
      this.#allocator.release(slice);
    }
    return bytes;
  }

  /** The number of bytes that the device wrote. While the device is suspended this waits for the resume. */
  #fill(slice: GuestSlice, length: number): Promise<number> {
    const { state, queues } = this.driver;
    if (state === 'reset' || state === 'failed') this.driver.requireRunning('read');
    return new Promise((resolve, reject) => {
      const buffers = new BufferList().addWritable(slice.address, length);
      queues[0]!.submit({ buffers, used: resolve, lost: reject });
    });
  }
}
