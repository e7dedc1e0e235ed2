import { type DriverTransport, type Later, lostWhenRejected } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import { Isr, PCI_DEVICE_BASE, PCI_VENDOR, PciCommand, PciCommon, PciHeader } from '../../spec/pci.ts';
import type { PciStructures, SharedMemoryStructure } from './capabilities.ts';
import { DriverVectors, type PciMessages, type VectorRegister } from './driver-vectors.ts';
import { type FoundCapabilities, findCapabilities } from './found-capabilities.ts';

/** How a driver reaches a PCI function; the host's part. BARs are programmed and decoded already. */
export interface PciAccess {
  readConfig(offset: number, width: AccessWidth): Later<number>;
  writeConfig(offset: number, width: AccessWidth, value: number): Later<void>;
  readBar(bar: number, offset: number, width: AccessWidth): Later<number>;
  writeBar(bar: number, offset: number, width: AccessWidth, value: number): Later<void>;
  /** Set by the transport, but for MSI-X; called when INTx is asserted. */
  onInterrupt: (() => void) | undefined;
  /** Set by the transport; called when the function cannot be reached any more. */
  onLost?: ((error: Error) => void) | undefined;
  /** MSI-X messages for this driver. Without them, or with a function that has no MSI-X, there is INTx. */
  readonly messages?: PciMessages | undefined;
}

const FEATURE_WORDS = 2;

/** The driver end of virtio over PCI (§4.1), with MSI-X where function and host have it, else with INTx. */
export class PciDriverTransport implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly #access: PciAccess;
  readonly #structures: PciStructures;
  readonly #sharedMemory: readonly SharedMemoryStructure[];
  /** Undefined with INTx. */
  readonly #vectors: DriverVectors | undefined;
  /** Queue's offset in units of the multiplier, by queue. */
  readonly #notifyOffsets: number[] = [];
  /** What notifications call a queue, by queue. */
  readonly #notifyValues: number[] = [];
  #features: FeatureSet = 0n;

  private constructor(
    access: PciAccess,
    deviceId: number,
    found: FoundCapabilities,
    vectors: DriverVectors | undefined,
  ) {
    this.#access = access;
    this.deviceId = deviceId;
    this.#structures = found.structures;
    this.#sharedMemory = found.sharedMemory;
    this.#vectors = vectors;
    // With MSI-X a line is somebody else's.
    if (vectors === undefined) access.onInterrupt = () => this.#interrupt();
    else {
      vectors.onUsedBuffer = () => this.onUsedBuffer?.();
      vectors.onConfigChange = () => this.onConfigChange?.();
    }
    access.onLost = (error) => this.onLost?.(error);
  }

  /** Finds the virtio structures of a function and enables it. Rejects with ProtocolError when it is no virtio device. */
  static async open(access: PciAccess): Promise<PciDriverTransport> {
    const vendor = await access.readConfig(PciHeader.VENDOR, 2);
    const device = await access.readConfig(PciHeader.DEVICE, 2);
    const isModern = device >= PCI_DEVICE_BASE && device <= PCI_DEVICE_BASE + 0x3f;
    if (vendor !== PCI_VENDOR || !isModern) {
      throw new ProtocolError(
        vendor === PCI_VENDOR ? 'pci.device.discovery.2' : 'pci.device.discovery.1',
        `PCI device ${vendor.toString(16)}:${device.toString(16)} is no modern virtio device`,
      );
    }
    const found = await findCapabilities(access);
    const command = await access.readConfig(PciHeader.COMMAND, 2);
    await access.writeConfig(PciHeader.COMMAND, 2, command | PciCommand.IO | PciCommand.MEMORY | PciCommand.BUS_MASTER);
    return new PciDriverTransport(access, device - PCI_DEVICE_BASE, found, await DriverVectors.open(access, found));
  }

  /** How the device tells this driver. */
  get interrupts(): 'INTx' | 'MSI-X' {
    return this.#vectors === undefined ? 'INTx' : 'MSI-X';
  }

  /** The shared memory region with an id, or undefined when the device has none. */
  sharedMemory(id: number): SharedMemoryStructure | undefined {
    return this.#sharedMemory.find((region) => region.id === id);
  }

  readStatus(): Later<number> {
    return this.#read(PciCommon.DEVICE_STATUS, 1);
  }

  writeStatus(value: number): Later<void> {
    return this.#write(PciCommon.DEVICE_STATUS, 1, value);
  }

  async readFeatures(): Promise<FeatureSet> {
    let features = 0n;
    for (let word = 0; word < FEATURE_WORDS; word++) {
      await this.#write(PciCommon.DEVICE_FEATURE_SELECT, 4, word);
      features |= BigInt((await this.#read(PciCommon.DEVICE_FEATURE, 4)) >>> 0) << BigInt(32 * word);
    }
    return features;
  }

  async writeFeatures(features: FeatureSet): Promise<void> {
    this.#features = features;
    // Here because the reset that comes before it has forgotten every mapping.
    await this.#vectors?.mapConfig(this.#vectorRegister(PciCommon.CONFIG_MSIX_VECTOR));
    for (let word = 0; word < FEATURE_WORDS; word++) {
      await this.#write(PciCommon.DRIVER_FEATURE_SELECT, 4, word);
      await this.#write(PciCommon.DRIVER_FEATURE, 4, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
  }

  async readQueueSize(index: number): Promise<number> {
    if (index >= (await this.#read(PciCommon.NUM_QUEUES, 2))) return 0;
    await this.#write(PciCommon.QUEUE_SELECT, 2, index);
    return this.#read(PciCommon.QUEUE_SIZE, 2);
  }

  async enableQueue(index: number, layout: QueueLayout): Promise<void> {
    await this.#write(PciCommon.QUEUE_SELECT, 2, index);
    await this.#write(PciCommon.QUEUE_SIZE, 2, layout.size);
    if ((await this.#read(PciCommon.QUEUE_SIZE, 2)) !== layout.size) {
      throw new ProtocolError('pci.device.common.queue_size', `queue ${index} does not take the size ${layout.size}`);
    }
    await this.#writeAddress(PciCommon.QUEUE_DESC, layout.descriptorArea);
    await this.#writeAddress(PciCommon.QUEUE_DRIVER, layout.driverArea);
    await this.#writeAddress(PciCommon.QUEUE_DEVICE, layout.deviceArea);
    this.#notifyOffsets[index] = await this.#read(PciCommon.QUEUE_NOTIFY_OFF, 2);
    this.#notifyValues[index] = hasFeature(this.#features, Feature.NOTIF_CONFIG_DATA)
      ? await this.#read(PciCommon.QUEUE_NOTIF_CONFIG_DATA, 2)
      : index;
    await this.#vectors?.mapQueue(this.#vectorRegister(PciCommon.QUEUE_MSIX_VECTOR), index);
    await this.#write(PciCommon.QUEUE_ENABLE, 2, 1);
  }

  async resetQueue(index: number): Promise<void> {
    await this.#write(PciCommon.QUEUE_SELECT, 2, index);
    await this.#write(PciCommon.QUEUE_RESET, 2, 1);
  }

  async queueIsReset(index: number): Promise<boolean> {
    await this.#write(PciCommon.QUEUE_SELECT, 2, index);
    const resetting = await this.#read(PciCommon.QUEUE_RESET, 2);
    return resetting === 0 && (await this.#read(PciCommon.QUEUE_ENABLE, 2)) === 0;
  }

  readConfigGeneration(): Later<number> {
    return this.#read(PciCommon.CONFIG_GENERATION, 1);
  }

  readConfig(offset: number, width: AccessWidth): Later<number> {
    const { bar, offset: start, length: present } = this.#structures.device;
    // What lies behind the structure is something else, and a read of it may have an effect.
    return offset + width > present ? 0 : this.#access.readBar(bar, start + offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): Later<void> {
    const { bar, offset: start, length: present } = this.#structures.device;
    if (offset + width > present) {
      throw new RangeError(`the device configuration has ${present} bytes, and nothing at ${offset}`);
    }
    return this.#access.writeBar(bar, start + offset, width, value);
  }

  /** §4.1.5.2: 16 bits, or 32 with VIRTIO_F_NOTIFICATION_DATA; the queue by its index, or by what the device calls it. */
  kick(queue: number, next?: number): void {
    const { bar, offset, multiplier } = this.#structures.notify;
    const at = offset + (this.#notifyOffsets[queue] ?? 0) * multiplier;
    const value = this.#notifyValues[queue] ?? queue;
    const written =
      next === undefined
        ? this.#access.writeBar(bar, at, 2, value)
        : this.#access.writeBar(bar, at, 4, (value | (next << 16)) >>> 0);
    lostWhenRejected(written, this);
  }

  /** Reading the ISR tells the cause and drops the line (§4.1.4.5). Here and now where the registers are a call away. */
  #interrupt(): void {
    const { bar, offset } = this.#structures.isr;
    const isr = this.#access.readBar(bar, offset, 1);
    if (typeof isr === 'number') this.#dispatch(isr);
    else
      lostWhenRejected(
        isr.then((value) => this.#dispatch(value)),
        this,
      );
  }

  #dispatch(isr: number): void {
    if ((isr & Isr.QUEUE) !== 0) this.onUsedBuffer?.();
    if ((isr & Isr.CONFIG) !== 0) this.onConfigChange?.();
  }

  #vectorRegister(register: number): VectorRegister {
    return { read: () => this.#read(register, 2), write: (vector) => this.#write(register, 2, vector) };
  }

  #read(register: number, width: AccessWidth): Later<number> {
    const { bar, offset } = this.#structures.common;
    return this.#access.readBar(bar, offset + register, width);
  }

  #write(register: number, width: AccessWidth, value: number): Later<void> {
    const { bar, offset } = this.#structures.common;
    return this.#access.writeBar(bar, offset + register, width, value);
  }

  async #writeAddress(register: number, address: number): Promise<void> {
    await this.#write(register, 4, address >>> 0);
    await this.#write(register + 4, 4, Math.floor(address / 0x1_0000_0000));
  }
}
