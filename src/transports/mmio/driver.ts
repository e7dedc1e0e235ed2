import { type DriverTransport, type Later, lostWhenRejected } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';
import { MMIO_MAGIC, MMIO_VERSION, Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import type { SharedMemoryRegion } from './registers.ts';

/** How a driver reaches the registers of an MMIO device; the host's part. */
export interface MmioAccess {
  read(offset: number, width: AccessWidth): Later<number>;
  write(offset: number, width: AccessWidth, value: number): Later<void>;
  /** Set by the transport; called when the interrupt line is asserted. */
  onInterrupt: (() => void) | undefined;
}

const FEATURE_WORDS = 2;

/** The driver end of virtio over MMIO, version 2 (§4.2). */
export class MmioDriverTransport implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly #access: MmioAccess;

  private constructor(access: MmioAccess, deviceId: number) {
    this.#access = access;
    this.deviceId = deviceId;
    access.onInterrupt = () => this.#interrupt();
  }

  /** Undefined for a placeholder without a device (id 0). Rejects with ProtocolError when it is no virtio device of version 2. */
  static async open(access: MmioAccess): Promise<MmioDriverTransport | undefined> {
    const magic = await access.read(Mmio.MAGIC_VALUE, 4);
    if (magic !== MMIO_MAGIC) throw new ProtocolError('mmio.device.regs.1', `MagicValue is 0x${magic.toString(16)}`);
    const version = await access.read(Mmio.VERSION, 4);
    if (version !== MMIO_VERSION)
      throw new ProtocolError('mmio.device.regs.2', `Version is ${version}; this driver knows ${MMIO_VERSION}`);
    const deviceId = await access.read(Mmio.DEVICE_ID, 4);
    return deviceId === 0 ? undefined : new MmioDriverTransport(access, deviceId);
  }

  readStatus(): Later<number> {
    return this.#access.read(Mmio.STATUS, 4);
  }

  writeStatus(value: number): Later<void> {
    return this.#access.write(Mmio.STATUS, 4, value);
  }

  async readFeatures(): Promise<FeatureSet> {
    let features = 0n;
    for (let word = 0; word < FEATURE_WORDS; word++) {
      await this.#access.write(Mmio.DEVICE_FEATURES_SEL, 4, word);
      features |= BigInt((await this.#access.read(Mmio.DEVICE_FEATURES, 4)) >>> 0) << BigInt(32 * word);
    }
    return features;
  }

  async writeFeatures(features: FeatureSet): Promise<void> {
    for (let word = 0; word < FEATURE_WORDS; word++) {
      await this.#access.write(Mmio.DRIVER_FEATURES_SEL, 4, word);
      await this.#access.write(Mmio.DRIVER_FEATURES, 4, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
  }

  async readQueueSize(index: number): Promise<number> {
    await this.#access.write(Mmio.QUEUE_SEL, 4, index);
    return this.#access.read(Mmio.QUEUE_SIZE_MAX, 4);
  }

  async enableQueue(index: number, layout: QueueLayout): Promise<void> {
    await this.#access.write(Mmio.QUEUE_SEL, 4, index);
    await this.#access.write(Mmio.QUEUE_SIZE, 4, layout.size);
    await this.#writeAddress(Mmio.QUEUE_DESC, layout.descriptorArea);
    await this.#writeAddress(Mmio.QUEUE_DRIVER, layout.driverArea);
    await this.#writeAddress(Mmio.QUEUE_DEVICE, layout.deviceArea);
    await this.#access.write(Mmio.QUEUE_READY, 4, 1);
  }

  async resetQueue(index: number): Promise<void> {
    await this.#access.write(Mmio.QUEUE_SEL, 4, index);
    await this.#access.write(Mmio.QUEUE_RESET, 4, 1);
  }

  async queueIsReset(index: number): Promise<boolean> {
    await this.#access.write(Mmio.QUEUE_SEL, 4, index);
    const resetting = await this.#access.read(Mmio.QUEUE_RESET, 4);
    return resetting === 0 && (await this.#access.read(Mmio.QUEUE_READY, 4)) === 0;
  }

  readConfigGeneration(): Later<number> {
    return this.#access.read(Mmio.CONFIG_GENERATION, 4);
  }

  readConfig(offset: number, width: AccessWidth): Later<number> {
    return this.#access.read(Mmio.CONFIG + offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): Later<void> {
    return this.#access.write(Mmio.CONFIG + offset, width, value);
  }

  kick(queue: number, next = 0): void {
    lostWhenRejected(this.#access.write(Mmio.QUEUE_NOTIFY, 4, (queue | (next << 16)) >>> 0), this);
  }

  /** The shared memory region with an id, or undefined when the device has none. */
  async sharedMemory(id: number): Promise<SharedMemoryRegion | undefined> {
    await this.#access.write(Mmio.SHM_SEL, 4, id);
    const length = await this.#readAddress(Mmio.SHM_LEN);
    const address = await this.#readAddress(Mmio.SHM_BASE);
    return length === undefined || address === undefined ? undefined : { id, address, length };
  }

  /** The status tells the cause; what is handled is acknowledged first, so that nothing that comes meanwhile is lost. */
  #interrupt(): void {
    const status = this.#access.read(Mmio.INTERRUPT_STATUS, 4);
    if (typeof status === 'number') this.#acknowledge(status);
    else
      lostWhenRejected(
        status.then((value) => this.#acknowledge(value)),
        this,
      );
  }

  /** What happens before the acknowledgement takes effect raises no new interrupt: so the queues are looked at after it. */
  #acknowledge(status: number): Later<void> {
    const known = status & (MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE);
    if (known === 0) return;
    const acknowledged = this.#access.write(Mmio.INTERRUPT_ACK, 4, known);
    if (acknowledged instanceof Promise) return acknowledged.then(() => this.#dispatch(known));
    this.#dispatch(known);
  }

  #dispatch(causes: number): void {
    if ((causes & MmioInterrupt.USED_BUFFER) !== 0) this.onUsedBuffer?.();
    if ((causes & MmioInterrupt.CONFIG_CHANGE) !== 0) this.onConfigChange?.();
  }

  async #writeAddress(register: number, address: number): Promise<void> {
    await this.#access.write(register, 4, address >>> 0);
    await this.#access.write(register + 4, 4, Math.floor(address / 0x1_0000_0000));
  }

  async #readAddress(register: number): Promise<number | undefined> {
    const low = await this.#access.read(register, 4);
    const high = await this.#access.read(register + 4, 4);
    return high === 0xffff_ffff ? undefined : high * 0x1_0000_0000 + low;
  }
}
