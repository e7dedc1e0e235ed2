import { type DriverTransport, type Later, lostWhenRejected } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import {
  Isr,
  PCI_CAPABILITY_VENDOR,
  PCI_DEVICE_BASE,
  PCI_VENDOR,
  PciCommand,
  PciCommon,
  PciHeader,
  PciStatus,
  VirtioPciCap,
  VirtioPciCapType,
} from '../../spec/pci.ts';
import type { PciStructure, PciStructures } from './capabilities.ts';
import type { AccessWidth } from './function.ts';

/** How a driver reaches a PCI function; the host's part. BARs are programmed and decoded already. */
export interface PciAccess {
  readConfig(offset: number, width: AccessWidth): Later<number>;
  writeConfig(offset: number, width: AccessWidth, value: number): Later<void>;
  readBar(bar: number, offset: number, width: AccessWidth): Later<number>;
  writeBar(bar: number, offset: number, width: AccessWidth, value: number): Later<void>;
  /** Set by the transport; called when INTx is asserted. */
  onInterrupt: (() => void) | undefined;
}

const FEATURE_WORDS = 2;
/** A capability list that is longer goes round in circles. */
const MAX_CAPABILITIES = 48;

/** The driver end of virtio over PCI (§4.1), with INTx. */
export class PciDriverTransport implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly #access: PciAccess;
  readonly #structures: PciStructures;
  /** Queue's offset in units of the multiplier, by queue. */
  readonly #notifyOffsets: number[] = [];
  /** What notifications call a queue, by queue. */
  readonly #notifyValues: number[] = [];
  #features: FeatureSet = 0n;

  private constructor(access: PciAccess, deviceId: number, structures: PciStructures) {
    this.#access = access;
    this.deviceId = deviceId;
    this.#structures = structures;
    access.onInterrupt = () => this.#interrupt();
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
    const structures = await findStructures(access);
    const command = await access.readConfig(PciHeader.COMMAND, 2);
    await access.writeConfig(PciHeader.COMMAND, 2, command | PciCommand.IO | PciCommand.MEMORY | PciCommand.BUS_MASTER);
    return new PciDriverTransport(access, device - PCI_DEVICE_BASE, structures);
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

  async readConfig(offset: number, length: number): Promise<Uint8Array> {
    const { bar, offset: start, length: present } = this.#structures.device;
    const bytes = new Uint8Array(length);
    // What lies behind the structure is something else, and a read of it may have an effect.
    const end = Math.min(length, present - offset);
    for (let i = 0; i < end; i++) bytes[i] = await this.#access.readBar(bar, start + offset + i, 1);
    return bytes;
  }

  async writeConfig(offset: number, bytes: Uint8Array): Promise<void> {
    const { bar, offset: start, length: present } = this.#structures.device;
    const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
    if (bytes.length !== 1 && bytes.length !== 2 && bytes.length !== 4) {
      throw new RangeError(`a configuration field of ${bytes.length} bytes is written in parts of 1, 2 or 4`);
    }
    if (offset + bytes.length > present) {
      throw new RangeError(`the device configuration has ${present} bytes, and nothing at ${offset}`);
    }
    await this.#access.writeBar(bar, start + offset, bytes.length, value);
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

/** Walks the capability list; the first instance of each structure counts (§4.1.4.1). */
async function findStructures(access: PciAccess): Promise<PciStructures> {
  const found = new Map<number, PciStructure & { multiplier: number }>();
  const hasList = ((await access.readConfig(PciHeader.STATUS, 2)) & PciStatus.CAPABILITIES) !== 0;
  let at = hasList ? (await access.readConfig(PciHeader.CAPABILITIES, 1)) & ~3 : 0;
  for (let n = 0; at !== 0; n++) {
    if (n === MAX_CAPABILITIES) throw new ProtocolError('pci.device.cap.list', 'the capability list has no end');
    if ((await access.readConfig(at + VirtioPciCap.VENDOR, 1)) === PCI_CAPABILITY_VENDOR) {
      const type = await access.readConfig(at + VirtioPciCap.TYPE, 1);
      const bar = await access.readConfig(at + VirtioPciCap.BAR, 1);
      // §4.1.4.1: reserved types and BARs are passed over.
      if (bar <= 5 && !found.has(type)) {
        found.set(type, {
          bar,
          offset: await access.readConfig(at + VirtioPciCap.OFFSET, 4),
          length: await access.readConfig(at + VirtioPciCap.SIZE, 4),
          multiplier:
            type === VirtioPciCapType.NOTIFY ? await access.readConfig(at + VirtioPciCap.NOTIFY_MULTIPLIER, 4) : 0,
        });
      }
    }
    at = (await access.readConfig(at + VirtioPciCap.NEXT, 1)) & ~3;
  }
  const need = (type: number, rule: string, name: string): PciStructure & { multiplier: number } => {
    const structure = found.get(type);
    if (structure === undefined) throw new ProtocolError(rule, `the device has no ${name} structure`);
    return structure;
  };
  return {
    common: need(VirtioPciCapType.COMMON, 'pci.device.common.2', 'common configuration'),
    isr: need(VirtioPciCapType.ISR, 'pci.device.isr.1', 'ISR'),
    notify: need(VirtioPciCapType.NOTIFY, 'pci.device.notifycap.1', 'notification'),
    device: found.get(VirtioPciCapType.DEVICE) ?? { bar: 0, offset: 0, length: 0 },
  };
}
