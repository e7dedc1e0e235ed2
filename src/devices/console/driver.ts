import { Driver, type DriverOptions, type TransitionOptions } from '../../driver/driver.ts';
import type { DriverType } from '../../driver/driver-type.ts';
import type { QueuedRequest } from '../../driver/request-queue.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { featureSet, hasFeature } from '../../spec/features.ts';
import { ConsoleConfig, ConsoleFeature, ConsoleQueue, type ConsoleSize, type SizeOrder, sizeOf } from './layout.ts';

export interface ConsoleDriverOptions extends DriverOptions {
  readonly sizeOrder?: SizeOrder;
  /** Buffers that wait for input, of 256 bytes each. 16. */
  readonly receiveBuffers?: number;
}

const RECEIVE_BYTES = 256;

/** A console driver (§5.3) for one port. */
export class ConsoleDriver {
  readonly driver: Driver;
  /** What was typed; the bytes are the receiver's. */
  onInput: ((bytes: Uint8Array) => void) | undefined;
  /** The console has another size now. */
  onResize: ((size: ConsoleSize) => void) | undefined;

  readonly #allocator: GuestAllocator;
  readonly #options: ConsoleDriverOptions;
  /** All receive buffers, one after the other. */
  #receive: GuestSlice | undefined;
  #size: ConsoleSize | undefined;

  constructor(transport: DriverTransport, allocator: GuestAllocator, options: ConsoleDriverOptions = {}) {
    this.#allocator = allocator;
    this.#options = options;
    const type: DriverType = {
      deviceId: DeviceId.CONSOLE,
      features: featureSet(ConsoleFeature.SIZE),
      queueCount: async (features) => {
        this.#size = hasFeature(features, ConsoleFeature.SIZE) ? await this.#readSize() : undefined;
        return 2;
      },
      configChanged: () => void this.#refresh(),
    };
    this.driver = new Driver(type, transport, allocator, options);
  }

  /** Initialises the device, and receives from then on; also after it failed. */
  async initialize(): Promise<void> {
    const count = this.#options.receiveBuffers ?? 16;
    this.#receive ??= this.#allocator.allocate(count * RECEIVE_BYTES);
    await this.driver.initialize();
    for (let i = 0; i < count; i++) this.#offer(this.#receive, i * RECEIVE_BYTES);
  }

  /** See `Driver.suspend`. Input that comes meanwhile is delivered after the resume. */
  suspend(options?: TransitionOptions): Promise<void> {
    return this.driver.suspend(options);
  }

  /** See `Driver.resume`. */
  resume(options?: TransitionOptions): Promise<void> {
    return this.driver.resume(options);
  }

  /** Undefined when the device does not tell it. */
  get size(): ConsoleSize | undefined {
    return this.#size;
  }

  /**
   * Prints `bytes`; resolves when the device has taken them. Writes are printed in the order of the calls. Rejects with
   * StateError when it comes while the device is not running, and with what ended the device when it is lost.
   */
  async write(bytes: Uint8Array): Promise<void> {
    this.driver.requireRunning('write');
    if (bytes.length === 0) return;
    const slice = this.#allocator.allocate(bytes.length);
    slice.region.bytes.set(bytes, slice.offset);
    try {
      await new Promise((resolve, reject) => {
        const buffers = new BufferList().addReadable(slice.address, slice.length);
        this.driver.queues[ConsoleQueue.TRANSMIT]!.submit({ buffers, used: resolve, lost: reject });
      });
    } finally {
      this.#allocator.release(slice);
    }
  }

  /** Gives the device a buffer for input, and again whenever it comes back. */
  #offer({ address, region, offset }: GuestSlice, position: number): void {
    const queue = this.driver.queues[ConsoleQueue.RECEIVE];
    const start = offset + position;
    const request: QueuedRequest = {
      buffers: new BufferList().addWritable(address + position, RECEIVE_BYTES),
      used: (written) => {
        const bytes = region.bytes.slice(start, start + written);
        queue?.submit(request);
        // In a turn of its own: what the receiver throws is not the device's fault.
        if (written > 0) Promise.resolve().then(() => this.onInput?.(bytes));
      },
      lost: () => {},
    };
    queue?.submit(request);
  }

  async #refresh(): Promise<void> {
    if (this.#size === undefined) return;
    let size: ConsoleSize;
    try {
      size = await this.#readSize();
    } catch {
      // The device is gone or lies about its generation: writes will tell.
      return;
    }
    const { rows, columns } = this.#size;
    this.#size = size;
    if (size.rows !== rows || size.columns !== columns) this.onResize?.(size);
  }

  async #readSize(): Promise<ConsoleSize> {
    const { first, second } = await this.driver.readConfig({
      first: { offset: ConsoleConfig.ROWS, bytes: 2 },
      second: { offset: ConsoleConfig.COLS, bytes: 2 },
    });
    return sizeOf(first, second, this.#options.sizeOrder);
  }
}
