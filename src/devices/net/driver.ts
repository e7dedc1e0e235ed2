import type { ConfigField } from '../../driver/config-fields.ts';
import { Driver, type DriverOptions, type TransitionOptions } from '../../driver/driver.ts';
import type { DriverType } from '../../driver/driver-type.ts';
import type { QueuedRequest } from '../../driver/request-queue.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import { Ethernet, longestFrame, NetConfig, NetFeature, NetHeader, NetMtu, NetQueue, NetStatus } from './layout.ts';

/** The address is a field of single bytes. */
const MAC_BYTES = ['mac0', 'mac1', 'mac2', 'mac3', 'mac4', 'mac5'] as const;
const MAC_FIELDS = Object.fromEntries(
  MAC_BYTES.map((name, n) => [name, { offset: NetConfig.MAC + n, bytes: 1, feature: NetFeature.MAC }]),
) as Readonly<Record<(typeof MAC_BYTES)[number], ConfigField>>;

export interface NetDriverOptions extends DriverOptions {
  /** Buffers that wait for frames, each large enough for any. 32. */
  readonly receiveBuffers?: number;
}

/** What the device says of itself. */
export interface NetInfo {
  /** Undefined when the device has none: choose a locally administered one. */
  readonly mac: Uint8Array | undefined;
  readonly link: 'up' | 'down';
  /** Largest payload of a frame in bytes. */
  readonly mtu: number;
}

/** A network driver (§5.1) for one pair of queues, without offloads. */
export class NetDriver {
  readonly driver: Driver;
  /** A frame that came, from its destination address on; it is the receiver's. */
  onFrame: ((frame: Uint8Array) => void) | undefined;
  onLinkChange: ((link: 'up' | 'down') => void) | undefined;

  readonly #allocator: GuestAllocator;
  readonly #count: number;
  /** All receive buffers, one after the other, and the length of one. */
  #receive: GuestSlice | undefined;
  #receiveBytes = 0;
  #info: NetInfo = { mac: undefined, link: 'down', mtu: Ethernet.MTU };

  constructor(transport: DriverTransport, allocator: GuestAllocator, options: NetDriverOptions = {}) {
    this.#allocator = allocator;
    this.#count = options.receiveBuffers ?? 32;
    const type: DriverType = {
      deviceId: DeviceId.NET,
      features: featureSet(NetFeature.MAC, NetFeature.MTU, NetFeature.STATUS),
      queueCount: async (features) => {
        this.#info = await this.#readInfo(features);
        return 2;
      },
      configChanged: () => void this.#refresh(),
    };
    this.driver = new Driver(type, transport, allocator, options);
  }

  /** Initialises the device, and receives from then on; also after it failed. */
  async initialize(): Promise<void> {
    await this.driver.initialize();
    const bytes = NetHeader.BYTES + Ethernet.HEADER + Ethernet.VLAN_TAG + Math.max(Ethernet.MTU, this.#info.mtu);
    if (this.#receive === undefined || bytes > this.#receiveBytes) {
      if (this.#receive !== undefined) this.#allocator.release(this.#receive);
      this.#receive = undefined;
      this.#receive = this.#allocator.allocate(this.#count * bytes);
      this.#receiveBytes = bytes;
    }
    for (let i = 0; i < this.#count; i++) this.#offer(this.#receive, i * this.#receiveBytes);
  }

  /** See `Driver.suspend`. */
  suspend(options?: TransitionOptions): Promise<void> {
    return this.driver.suspend(options);
  }

  /** See `Driver.resume`. */
  resume(options?: TransitionOptions): Promise<void> {
    return this.driver.resume(options);
  }

  get info(): NetInfo {
    return this.#info;
  }

  /**
   * Sends a frame, from its destination address on; resolves when the device has taken it. Throws RangeError for one that
   * is no frame or exceeds the MTU, StateError when it comes while the device is not running, and what ended the device
   * when it is lost.
   */
  async send(frame: Uint8Array): Promise<void> {
    this.driver.requireRunning('send');
    const longest = longestFrame(frame, this.#info.mtu);
    if (frame.length < Ethernet.HEADER || frame.length > longest) {
      throw new RangeError(`a frame of ${frame.length} bytes; it has ${Ethernet.HEADER} to ${longest}`);
    }
    // The header is all zero without offloads, as the slice is.
    const slice = this.#allocator.allocate(NetHeader.BYTES + frame.length);
    slice.region.bytes.set(frame, slice.offset + NetHeader.BYTES);
    try {
      await new Promise((resolve, reject) => {
        const buffers = new BufferList().addReadable(slice.address, slice.length);
        this.driver.queues[NetQueue.TRANSMIT]!.submit({ buffers, used: resolve, lost: reject });
      });
    } finally {
      this.#allocator.release(slice);
    }
  }

  /** Gives the device a buffer for a frame, and again whenever it comes back. */
  #offer({ address, region, offset }: GuestSlice, position: number): void {
    const queue = this.driver.queues[NetQueue.RECEIVE];
    const start = offset + position;
    const request: QueuedRequest = {
      buffers: new BufferList().addWritable(address + position, this.#receiveBytes),
      used: (written) => {
        checkHeader(region.view, start, written);
        const frame = region.bytes.slice(start + NetHeader.BYTES, start + written);
        queue?.submit(request);
        // In a turn of its own: what the receiver throws is not the device's fault.
        Promise.resolve().then(() => this.onFrame?.(frame));
      },
      lost: () => {},
    };
    queue?.submit(request);
  }

  async #refresh(): Promise<void> {
    let link: NetInfo['link'];
    try {
      link = (await this.#readInfo(this.driver.features)).link;
    } catch {
      // The device is gone or lies about its generation: sending will tell.
      return;
    }
    if (link === this.#info.link) return;
    // The other values never change (§5.1.4.1).
    this.#info = { ...this.#info, link };
    this.onLinkChange?.(link);
  }

  async #readInfo(features: FeatureSet): Promise<NetInfo> {
    const values = await this.driver.readConfig({
      ...MAC_FIELDS,
      status: { offset: NetConfig.STATUS, bytes: 2, feature: NetFeature.STATUS },
      mtu: { offset: NetConfig.MTU, bytes: 2, feature: NetFeature.MTU },
    });
    const has = (bit: number): boolean => hasFeature(features, bit);
    const mtu = has(NetFeature.MTU) ? values.mtu : Ethernet.MTU;
    if (mtu < NetMtu.MIN) throw new ProtocolError('net.device.config.2', `the device has an MTU of ${mtu}`);
    const isUp = !has(NetFeature.STATUS) || (values.status & NetStatus.LINK_UP) !== 0;
    return {
      mac: has(NetFeature.MAC) ? Uint8Array.from(MAC_BYTES, (name) => values[name]) : undefined,
      link: isUp ? 'up' : 'down',
      mtu,
    };
  }
}

/** A lie here is thrown to the driver, which gives the device up. */
function checkHeader(view: DataView, start: number, written: number): void {
  if (written < NetHeader.BYTES) {
    throw new ProtocolError('net.device.rx.header', `the device used a buffer with ${written} bytes, and so no header`);
  }
  const buffers = view.getUint16(start + NetHeader.NUM_BUFFERS, true);
  if (buffers !== 1) {
    throw new ProtocolError('net.device.rx.1', `a packet in ${buffers} buffers, but MRG_RXBUF was not negotiated`);
  }
}
