import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { StateError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import type { Disk, DiskOperation } from './disk.ts';
import { Execution, type ExecutionOwner } from './execution.ts';
import { BlockConfig, BlockFeature, SECTOR_BYTES } from './layout.ts';
import { type BlockLimits, parse } from './parse.ts';

export interface BlockDeviceOptions {
  /** Entries of each queue, a power of two. 256. */
  readonly queueSize?: number;
  /** More than one offers VIRTIO_BLK_F_MQ. 1. */
  readonly queues?: number;
  /** The largest data segment that the driver may use, in bytes; without it there is no limit. */
  readonly sizeMax?: number;
  /** An operation that the disk failed; the driver got IOERR. */
  readonly onDiskError?: (operation: DiskOperation, error: Error) => void;
}

/** Limits of discard and write zeroes: at most so many segments, each of at most 2 GiB. */
const MAX_RANGES = 16;
const MAX_RANGE_SECTORS = 4 * 1024 * 1024;

/** The block device type (§5.2): a disk as a virtio device. */
export class BlockDevice implements DeviceType {
  readonly deviceId: number = DeviceId.BLOCK;
  readonly features: FeatureSet;
  readonly queues: readonly QueueDescription[];
  readonly disk: Disk;

  readonly #options: BlockDeviceOptions;
  // Looked at for each request: plain values, where getters would be calls.
  readonly #owner: ExecutionOwner & { writeThrough: boolean };
  readonly #limits: BlockLimits & { capacitySectors: number };
  readonly #pool: Execution[] = [];
  #port!: DevicePort;
  /** VIRTIO_BLK_F_CONFIG_WCE and FLUSH were negotiated. */
  #cacheSwitchable = false;
  #flushNegotiated = false;
  #writeback = true;

  constructor(disk: Disk, options: BlockDeviceOptions = {}) {
    const count = options.queues ?? 1;
    const maxSize = options.queueSize ?? 256;
    if (!Number.isInteger(count) || count < 1 || count > 64)
      throw new RangeError(`${count} queues; 1 to 64 can be had`);
    if (!Number.isInteger(Math.log2(maxSize)) || maxSize < 1 || maxSize > 32768) {
      throw new RangeError(`a queue size of ${maxSize}; it is a power of two up to 32768`);
    }
    this.disk = disk;
    this.#options = options;
    this.queues = Array.from({ length: count }, () => ({ maxSize, taking: 'eager' as const }));
    this.features = offeredFeatures(disk, options);
    this.#owner = {
      disk,
      writeThrough: disk.supports.flush,
      finished: (execution, chain, written) => {
        this.#pool.push(execution);
        this.#port.complete(execution.queue, chain, written);
      },
      failed: (operation, error) => options.onDiskError?.(operation, error),
    };
    const { capacitySectors, readOnly, supports } = disk;
    const { flush, discard, writeZeroes } = supports;
    const [maxRanges, maxRangeSectors] = [MAX_RANGES, MAX_RANGE_SECTORS];
    this.#limits = { capacitySectors, readOnly, flush, discard, writeZeroes, maxRanges, maxRangeSectors };
  }

  attach(port: DevicePort): void {
    this.#port = port;
    this.disk.onResize = () => port.configChanged();
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(BlockConfig.BYTES);
    const view = new DataView(bytes.buffer);
    const { disk } = this;
    const { topology } = disk;
    view.setBigUint64(BlockConfig.CAPACITY, BigInt(disk.capacitySectors), true);
    view.setUint32(BlockConfig.SIZE_MAX, this.#options.sizeMax ?? 0, true);
    view.setUint32(BlockConfig.SEG_MAX, segMax(this.#options), true);
    view.setUint32(BlockConfig.BLK_SIZE, topology.blockSize, true);
    view.setUint8(BlockConfig.PHYSICAL_BLOCK_EXP, topology.physicalBlockExponent);
    view.setUint8(BlockConfig.ALIGNMENT_OFFSET, topology.alignmentOffset);
    view.setUint16(BlockConfig.MIN_IO_SIZE, topology.minimumBlocks, true);
    view.setUint32(BlockConfig.OPT_IO_SIZE, topology.optimalBlocks, true);
    view.setUint8(BlockConfig.WRITEBACK, this.#writeback && disk.supports.flush ? 1 : 0);
    view.setUint16(BlockConfig.NUM_QUEUES, this.queues.length, true);
    if (disk.supports.discard) {
      view.setUint32(BlockConfig.MAX_DISCARD_SECTORS, MAX_RANGE_SECTORS, true);
      view.setUint32(BlockConfig.MAX_DISCARD_SEG, MAX_RANGES, true);
      view.setUint32(BlockConfig.DISCARD_SECTOR_ALIGNMENT, topology.blockSize / SECTOR_BYTES, true);
    }
    if (disk.supports.writeZeroes) {
      view.setUint32(BlockConfig.MAX_WRITE_ZEROES_SECTORS, MAX_RANGE_SECTORS, true);
      view.setUint32(BlockConfig.MAX_WRITE_ZEROES_SEG, MAX_RANGES, true);
      view.setUint8(BlockConfig.WRITE_ZEROES_MAY_UNMAP, disk.supports.discard ? 1 : 0);
    }
    return bytes;
  }

  /** Only `writeback` can be written, and only when CONFIG_WCE was negotiated (§5.2.6.2). */
  writeConfig(offset: number, bytes: Uint8Array): void {
    const value = bytes[BlockConfig.WRITEBACK - offset];
    if (this.#cacheSwitchable && value !== undefined) this.#setWriteback(value !== 0);
  }

  negotiated(features: FeatureSet): void {
    this.#remember(features);
    // §5.2.5.2: with CONFIG_WCE but without FLUSH the cache starts as writethrough.
    this.#setWriteback(this.#flushNegotiated);
  }

  process(queue: number, chain: Chain): void {
    const execution = this.#pool.pop() ?? new Execution(this.#owner);
    this.#limits.capacitySectors = this.disk.capacitySectors;
    parse(chain, this.#limits, execution.parsed);
    execution.begin(queue, chain);
  }

  reset(): void {
    this.#remember(0n);
    this.#setWriteback(true);
  }

  save(): unknown {
    return { writeback: this.#writeback };
  }

  restore(state: unknown, features: FeatureSet): void {
    const writeback = (state as { writeback?: unknown } | null)?.writeback;
    if (typeof writeback !== 'boolean')
      throw new StateError('the saved block device does not say which cache mode it was in');
    this.#remember(features);
    this.#setWriteback(writeback);
  }

  #remember(features: FeatureSet): void {
    this.#cacheSwitchable = hasFeature(features, BlockFeature.CONFIG_WCE);
    this.#flushNegotiated = hasFeature(features, BlockFeature.FLUSH);
  }

  /** §5.2.6.2: a driver that cannot flush relies on every completed write. */
  #setWriteback(writeback: boolean): void {
    this.#writeback = writeback;
    const wanted = this.#cacheSwitchable ? !writeback : !this.#flushNegotiated;
    this.#owner.writeThrough = this.disk.supports.flush && wanted;
  }
}

function offeredFeatures(disk: Disk, options: BlockDeviceOptions): FeatureSet {
  const { flush, discard, writeZeroes } = disk.supports;
  const bits: number[] = [BlockFeature.SEG_MAX, BlockFeature.BLK_SIZE, BlockFeature.TOPOLOGY];
  if (options.sizeMax !== undefined) bits.push(BlockFeature.SIZE_MAX);
  if (disk.readOnly) bits.push(BlockFeature.RO);
  if (flush) bits.push(BlockFeature.FLUSH, BlockFeature.CONFIG_WCE);
  if ((options.queues ?? 1) > 1) bits.push(BlockFeature.MQ);
  if (discard && !disk.readOnly) bits.push(BlockFeature.DISCARD);
  if (writeZeroes && !disk.readOnly) bits.push(BlockFeature.WRITE_ZEROES);
  return featureSet(...bits);
}

/** Header and status take two descriptors of a chain, which is never longer than the queue. */
function segMax(options: BlockDeviceOptions): number {
  return Math.max(1, (options.queueSize ?? 256) - 2);
}
