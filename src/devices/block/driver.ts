import { Driver, type DriverOptions, type TransitionOptions } from '../../driver/driver.ts';
import type { DriverType } from '../../driver/driver-type.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { StateError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import { BlockRequest } from './driver-request.ts';
import {
  BlockConfig,
  BlockFeature,
  BlockRange,
  BlockRequestType,
  ID_BYTES,
  RANGE_UNMAP,
  SECTOR_BYTES,
} from './layout.ts';

const FEATURES: FeatureSet = featureSet(
  BlockFeature.SIZE_MAX,
  BlockFeature.SEG_MAX,
  BlockFeature.RO,
  BlockFeature.BLK_SIZE,
  BlockFeature.FLUSH,
  BlockFeature.TOPOLOGY,
  BlockFeature.CONFIG_WCE,
  BlockFeature.MQ,
  BlockFeature.DISCARD,
  BlockFeature.WRITE_ZEROES,
);

/** What the device says of its disk. */
export interface BlockInfo {
  readonly capacitySectors: number;
  readonly readOnly: boolean;
  /** Logical block in bytes. */
  readonly blockSize: number;
  /** Largest data segment in bytes, and most data segments of one request. */
  readonly sizeMax: number;
  readonly segMax: number;
  readonly queues: number;
}

/**
 * A block driver (§5.2). `readInto` and `writeFrom` work on memory that the device sees, taken from `allocator`, without
 * a copy; `read` and `write` copy. Any number of requests may be out; those that find the queue full wait for their turn.
 *
 * Requests reject with BlockError when the device answers with an error, StateError when they come while the device is
 * not running, and with what ended the device when it is lost.
 */
export class BlockDriver {
  readonly driver: Driver;
  /** The device has other properties now; `info` has them. */
  onInfoChange: ((info: BlockInfo) => void) | undefined;

  readonly #allocator: GuestAllocator;
  readonly #pool: BlockRequest[] = [];
  #info: BlockInfo | undefined;
  #turn = 0;

  constructor(transport: DriverTransport, allocator: GuestAllocator, options: DriverOptions = {}) {
    this.#allocator = allocator;
    const type: DriverType = {
      deviceId: DeviceId.BLOCK,
      features: FEATURES,
      queueCount: async (features) => (await this.#readInfo(features)).queues,
      configChanged: () => void this.#refresh(),
    };
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

  get info(): BlockInfo {
    if (this.#info === undefined) throw new StateError('info: the device is not initialised: call initialize() first');
    return this.#info;
  }

  /** Reads `slice.length` bytes from `sector` on into memory that the device sees. */
  readInto(sector: number, slice: GuestSlice): Promise<void> {
    return this.#transfer('read', BlockRequestType.IN, sector, slice);
  }

  /** Writes memory that the device sees; it is not to be changed until the promise is settled. */
  writeFrom(sector: number, slice: GuestSlice): Promise<void> {
    return this.#transfer('write', BlockRequestType.OUT, sector, slice);
  }

  async read(sector: number, length: number): Promise<Uint8Array> {
    this.#check('read', sector, length);
    return this.#withSlice(length, async (slice) => {
      await this.readInto(sector, slice);
      return slice.region.bytes.slice(slice.offset, slice.offset + length);
    });
  }

  async write(sector: number, bytes: Uint8Array): Promise<void> {
    this.#check('write', sector, bytes.length);
    this.#checkWritable('write');
    await this.#withSlice(bytes.length, (slice) => {
      slice.region.bytes.set(bytes, slice.offset);
      return this.writeFrom(sector, slice);
    });
  }

  /** Resolves when everything that was completed before is stable. */
  async flush(): Promise<void> {
    this.driver.requireRunning('flush');
    if (hasFeature(this.driver.features, BlockFeature.FLUSH))
      await this.#submit(this.#request().command(BlockRequestType.FLUSH));
  }

  /** The sectors are not needed any more; what they hold is undefined from now on. */
  discard(sector: number, sectors: number): Promise<void> {
    return this.#range('discard', BlockFeature.DISCARD, BlockRequestType.DISCARD, sector, sectors, 0);
  }

  /** The sectors read as zeroes from now on; `unmap` allows the disk to give their space back. */
  writeZeroes(sector: number, sectors: number, options: { readonly unmap?: boolean } = {}): Promise<void> {
    const flags = options.unmap === true ? RANGE_UNMAP : 0;
    return this.#range('writeZeroes', BlockFeature.WRITE_ZEROES, BlockRequestType.WRITE_ZEROES, sector, sectors, flags);
  }

  /** The disk's identity, up to 20 characters. */
  async identify(): Promise<string> {
    this.driver.requireRunning('identify');
    return await this.#withSlice(ID_BYTES, async (slice) => {
      await this.#submit(this.#request().transfer(BlockRequestType.GET_ID, 0, slice, this.info));
      const bytes = slice.region.bytes.subarray(slice.offset, slice.offset + ID_BYTES);
      const end = bytes.indexOf(0);
      return String.fromCharCode(...bytes.subarray(0, end < 0 ? ID_BYTES : end));
    });
  }

  /** Switches the device's write cache (§5.2.6.2): without it every completed write is stable. */
  async setWriteback(on: 'writeback' | 'writethrough'): Promise<void> {
    if (!hasFeature(this.driver.features, BlockFeature.CONFIG_WCE)) {
      throw new StateError('setWriteback: the device does not offer VIRTIO_BLK_F_CONFIG_WCE');
    }
    await this.driver.writeConfig({ offset: BlockConfig.WRITEBACK, bytes: 1 }, on === 'writeback' ? 1 : 0);
  }

  async #range(
    what: string,
    feature: number,
    type: number,
    sector: number,
    sectors: number,
    flags: number,
  ): Promise<void> {
    this.#check(what, sector, sectors * SECTOR_BYTES);
    this.#checkWritable(what);
    if (!hasFeature(this.driver.features, feature)) throw new StateError(`${what}: the device cannot do it`);
    await this.#withSlice(BlockRange.BYTES, (slice) => {
      const { view } = slice.region;
      view.setBigUint64(slice.offset + BlockRange.SECTOR, BigInt(sector), true);
      view.setUint32(slice.offset + BlockRange.NUM_SECTORS, sectors, true);
      view.setUint32(slice.offset + BlockRange.FLAGS, flags, true);
      return this.#submit(this.#request().transfer(type, 0, slice, this.info));
    });
  }

  #check(what: string, sector: number, length: number): void {
    this.driver.requireRunning(what);
    const { capacitySectors } = this.info;
    if (!Number.isInteger(sector) || sector < 0 || length <= 0 || length % SECTOR_BYTES !== 0) {
      throw new RangeError(
        `${what}: ${length} bytes from sector ${sector} are not whole sectors of ${SECTOR_BYTES} bytes`,
      );
    }
    if (sector + length / SECTOR_BYTES > capacitySectors) {
      throw new RangeError(
        `${what}: ${length} bytes from sector ${sector} go beyond the capacity of ${capacitySectors} sectors`,
      );
    }
  }

  #checkWritable(what: string): void {
    if (this.info.readOnly) throw new StateError(`${what}: the disk is read-only`);
  }

  #request(): BlockRequest {
    return (
      this.#pool.pop() ??
      new BlockRequest(this.#allocator.allocate(BlockRequest.BYTES), (free) => this.#pool.push(free))
    );
  }

  /** One promise for each request: with an async function's there are three, and twice the garbage (measured). */
  #transfer(what: 'read' | 'write', type: number, sector: number, slice: GuestSlice): Promise<void> {
    return new Promise((resolve, reject) => {
      // What is thrown here rejects the promise.
      this.#check(what, sector, slice.length);
      if (what === 'write') this.#checkWritable(what);
      this.#offer(this.#request().transfer(type, sector, slice, this.info), { resolve, reject });
    });
  }

  #submit(request: BlockRequest): Promise<void> {
    return new Promise((resolve, reject) => this.#offer(request, { resolve, reject }));
  }

  #offer(request: BlockRequest, settle: NonNullable<BlockRequest['settle']>): void {
    const { queues } = this.driver;
    this.#turn = (this.#turn + 1) % queues.length;
    request.settle = settle;
    queues[this.#turn]!.submit(request);
  }

  async #withSlice<T>(length: number, use: (slice: GuestSlice) => Promise<T>): Promise<T> {
    const slice = this.#allocator.allocate(length);
    try {
      return await use(slice);
    } finally {
      this.#allocator.release(slice);
    }
  }

  async #refresh(): Promise<void> {
    try {
      const info = await this.#readInfo(this.driver.features);
      this.onInfoChange?.(info);
    } catch {
      // The device is gone or lies about its generation: requests will tell.
    }
  }

  async #readInfo(features: FeatureSet): Promise<BlockInfo> {
    const has = (bit: number): boolean => hasFeature(features, bit);
    const { capacity, blockSize, sizeMax, segMax, queues } = await this.driver.readConfig({
      capacity: { offset: BlockConfig.CAPACITY, bytes: 8 },
      sizeMax: { offset: BlockConfig.SIZE_MAX, bytes: 4, feature: BlockFeature.SIZE_MAX },
      segMax: { offset: BlockConfig.SEG_MAX, bytes: 4, feature: BlockFeature.SEG_MAX },
      blockSize: { offset: BlockConfig.BLK_SIZE, bytes: 4, feature: BlockFeature.BLK_SIZE },
      queues: { offset: BlockConfig.NUM_QUEUES, bytes: 2, feature: BlockFeature.MQ },
    });
    const info: BlockInfo = {
      capacitySectors: capacity,
      readOnly: has(BlockFeature.RO),
      blockSize: has(BlockFeature.BLK_SIZE) ? blockSize : SECTOR_BYTES,
      // Nothing fits into segments of nothing: QEMU's storage daemon offers the feature and leaves the field 0.
      sizeMax: has(BlockFeature.SIZE_MAX) && sizeMax > 0 ? sizeMax : 0xffff_ffff,
      segMax: has(BlockFeature.SEG_MAX) ? Math.max(1, segMax) : 1,
      queues: has(BlockFeature.MQ) ? Math.max(1, queues) : 1,
    };
    this.#info = info;
    return info;
  }
}
