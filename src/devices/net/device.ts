import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError, StateError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import {
  Ethernet,
  longestFrame,
  NetConfig,
  NetFeature,
  NetHeader,
  NetHeaderFlag,
  NetMtu,
  NetQueue,
  NetStatus,
} from './layout.ts';

export interface NetOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** A frame that the driver sends, from its destination address on; it is the receiver's. A throw fails the device. */
  readonly transmit: (frame: Uint8Array) => void;
  /** Frames that wait for receive buffers, or for a resume, at most; the oldest is dropped. 256. */
  readonly backlog?: number;
  /** Largest payload of a frame, 68 to 65535; for a driver without VIRTIO_NET_F_MTU it is 1500. 1500. */
  readonly mtu?: number;
}

/**
 * The network device type (§5.1) with one pair of queues and no offloads. Receive buffers wait in the ring until there is
 * a frame. Frames that come while the device is suspended wait here, as many as the backlog takes, and are saved with it.
 */
export class NetDevice implements DeviceType {
  readonly deviceId: number = DeviceId.NET;
  readonly features: FeatureSet = featureSet(NetFeature.MAC, NetFeature.MTU, NetFeature.STATUS);
  readonly queues: readonly QueueDescription[] = [
    { maxSize: 256, taking: 'onDemand' },
    { maxSize: 256, taking: 'eager' },
  ];

  readonly #options: NetOptions;
  readonly #mac: Uint8Array;
  readonly #deviceMtu: number;
  readonly #received = new Uint8Array(NetHeader.BYTES);
  #waiting: Uint8Array[] = [];
  #port: DevicePort | undefined;
  #link: 'up' | 'down' = 'up';
  #dropped = 0;
  /** There is a driver, which may be sent frames of `#mtu`. */
  #negotiated = false;
  #mtu: number = Ethernet.MTU;

  /** Throws RangeError for an address or an MTU that no device may have. */
  constructor(options: NetOptions) {
    const { mac, mtu = Ethernet.MTU } = options;
    if (mac.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${mac.length}`);
    if (!Number.isInteger(mtu) || mtu < NetMtu.MIN || mtu > NetMtu.MAX) {
      throw new RangeError(`an MTU of ${mtu}; it is ${NetMtu.MIN} to ${NetMtu.MAX}`);
    }
    this.#options = options;
    this.#mac = mac.slice();
    this.#deviceMtu = mtu;
    // Without VIRTIO_NET_F_MRG_RXBUF a packet is in one buffer (§5.1.6.4.1); all other fields are 0 without offloads.
    this.#received[NetHeader.NUM_BUFFERS] = 1;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(NetConfig.BYTES);
    const view = new DataView(bytes.buffer);
    bytes.set(this.#mac, NetConfig.MAC);
    view.setUint16(NetConfig.STATUS, this.#link === 'up' ? NetStatus.LINK_UP : 0, true);
    view.setUint16(NetConfig.MAX_VIRTQUEUE_PAIRS, 1, true);
    view.setUint16(NetConfig.MTU, this.#deviceMtu, true);
    return bytes;
  }

  /** Frames that found no place: no link, no driver, too long, or the oldest of a full backlog. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The cable is plugged in or out. */
  setLink(state: 'up' | 'down'): void {
    if (state === this.#link) return;
    this.#link = state;
    this.#port?.configChanged();
  }

  /** A frame for the driver. Copied when it is delivered, so it is not to be changed any more. */
  receive(frame: Uint8Array): void {
    if (this.#link === 'down' || !this.#negotiated || frame.length > longestFrame(frame, this.#mtu)) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(frame);
    this.#deliver();
    while (this.#waiting.length > (this.#options.backlog ?? 256)) {
      this.#waiting.shift();
      this.#dropped++;
    }
  }

  negotiated(features: FeatureSet): void {
    this.#negotiated = features !== 0n;
    this.#mtu = hasFeature(features, NetFeature.MTU) ? this.#deviceMtu : Ethernet.MTU;
  }

  available(queue: number): void {
    if (queue === NetQueue.RECEIVE) this.#deliver();
  }

  process(queue: number, chain: Chain): void {
    const fault = this.#transmit(chain);
    if (fault !== undefined) this.#port?.fail(fault);
    this.#port?.complete(queue, chain, 0);
  }

  reset(): void {
    this.#negotiated = false;
    this.#waiting.length = 0;
  }

  save(): unknown {
    return { waiting: this.#waiting.map((frame) => [...frame]) };
  }

  restore(state: unknown, features: FeatureSet): void {
    const waiting = (state as { waiting?: unknown } | null | undefined)?.waiting;
    if (!Array.isArray(waiting) || !waiting.every(isFrame)) {
      throw new StateError('the saved network device does not say which frames were waiting');
    }
    this.negotiated(features);
    this.#waiting = waiting.map((frame) => Uint8Array.from(frame));
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      const chain = this.#port?.take(NetQueue.RECEIVE);
      if (chain === undefined) return;
      const frame = this.#waiting.shift()!;
      const bytes = NetHeader.BYTES + frame.length;
      const fault = this.#faultOfReceive(chain, frame);
      if (fault !== undefined) {
        this.#port?.fail(fault);
        this.#port?.complete(NetQueue.RECEIVE, chain, 0);
      } else if (chain.writableBytes < bytes) {
        // A buffer as large as it has to be (§5.1.6.3.1) has room for the MTU, but not for a VLAN tag besides.
        this.#dropped++;
        this.#port?.giveBack(NetQueue.RECEIVE, chain);
      } else {
        chain.write(0, this.#received, 0, NetHeader.BYTES);
        chain.write(NetHeader.BYTES, frame, 0, frame.length);
        this.#port?.complete(NetQueue.RECEIVE, chain, bytes);
      }
    }
  }

  #faultOfReceive(chain: Chain, frame: Uint8Array): ProtocolError | undefined {
    if (chain.readableBytes > 0) {
      const what = `a receive buffer of ${chain.readableBytes} device-readable bytes`;
      return new ProtocolError('net.driver.rxbuf.readable', what);
    }
    const needed = NetHeader.BYTES + Math.min(frame.length, Ethernet.HEADER + this.#mtu);
    if (chain.writableBytes >= needed) return undefined;
    const rule = this.#mtu === Ethernet.MTU ? 'net.driver.rxbuf.2' : 'net.driver.config.8';
    return new ProtocolError(rule, `a receive buffer of ${chain.writableBytes} bytes; ${needed} are needed`);
  }

  /** Sends what a chain holds; returns why the device cannot go on. */
  #transmit(chain: Chain): Error | undefined {
    const length = chain.readableBytes - NetHeader.BYTES;
    if (length < 0) {
      return new ProtocolError('net.driver.tx.header', `a packet of ${chain.readableBytes} bytes has no header`);
    }
    // Other flags are not known here and ignored (§5.1.6.2.2).
    if ((chain.readU8(NetHeader.FLAGS) & NetHeaderFlag.NEEDS_CSUM) !== 0) {
      return new ProtocolError('net.driver.tx.3', 'a packet without its checksum, but CSUM was not negotiated');
    }
    const gsoType = chain.readU8(NetHeader.GSO_TYPE);
    if (gsoType !== 0) {
      return new ProtocolError('net.driver.tx.31', `a packet of gso_type ${gsoType}, but no offload was negotiated`);
    }
    if (length > Ethernet.HEADER + Ethernet.VLAN_TAG + this.#mtu || this.#link === 'down') {
      this.#dropped++;
      return undefined;
    }
    const frame = new Uint8Array(length);
    chain.read(NetHeader.BYTES, frame, 0, length);
    if (length > longestFrame(frame, this.#mtu)) {
      this.#dropped++;
      return undefined;
    }
    try {
      this.#options.transmit(frame);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
    return undefined;
  }
}

function isFrame(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255);
}
