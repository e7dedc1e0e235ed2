import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet } from '../../spec/features.ts';
import { NetConfig, NetFeature, NetHeader, NetQueue, NetStatus } from './layout.ts';

export interface NetOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** A frame that the driver sends, from its destination address on; the receiver owns it. */
  readonly transmit: (frame: Uint8Array) => void;
  /** Frames that wait for receive buffers, or for a resume, at most; the oldest is dropped. 256. */
  readonly backlog?: number;
  /** Largest payload of a frame. 1500. */
  readonly mtu?: number;
}

/** Ethernet header and one VLAN tag. */
const LINK_HEADER = 18;

/**
 * The network device type (§5.1) with one pair of queues and no offloads. Receive buffers wait in the ring until there is
 * a frame. Frames that come while the device is suspended wait here, as many as the backlog takes.
 */
export class NetDevice implements DeviceType {
  readonly deviceId: number = DeviceId.NET;
  readonly features: FeatureSet = featureSet(NetFeature.MAC, NetFeature.MTU, NetFeature.STATUS);
  readonly queues: readonly QueueDescription[] = [
    { maxSize: 256, taking: 'onDemand' },
    { maxSize: 256, taking: 'eager' },
  ];
  /** Frames that found no place. */
  dropped = 0;

  readonly #options: NetOptions;
  readonly #waiting: Uint8Array[] = [];
  readonly #header = new Uint8Array(NetHeader.BYTES);
  #port!: DevicePort;
  #linkUp = true;

  constructor(options: NetOptions) {
    if (options.mac.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${options.mac.length}`);
    this.#options = options;
    // Without VIRTIO_NET_F_MRG_RXBUF a packet is in one buffer (§5.1.6.4.1); all other fields are 0 without offloads.
    this.#header[NetHeader.NUM_BUFFERS] = 1;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(NetConfig.BYTES);
    const view = new DataView(bytes.buffer);
    bytes.set(this.#options.mac, NetConfig.MAC);
    view.setUint16(NetConfig.STATUS, this.#linkUp ? NetStatus.LINK_UP : 0, true);
    view.setUint16(NetConfig.MAX_VIRTQUEUE_PAIRS, 1, true);
    view.setUint16(NetConfig.MTU, this.#mtu, true);
    return bytes;
  }

  /** The cable is plugged in or out. */
  setLink(state: 'up' | 'down'): void {
    this.#linkUp = state === 'up';
    this.#port.configChanged();
  }

  /** A frame for the driver. Copied when it is delivered, so it is not to be changed any more. Waiting frames are not saved. */
  receive(frame: Uint8Array): void {
    if (!this.#linkUp || frame.length > this.#mtu + LINK_HEADER) {
      this.dropped++;
      return;
    }
    this.#waiting.push(frame);
    this.#deliver();
    while (this.#waiting.length > (this.#options.backlog ?? 256)) {
      this.#waiting.shift();
      this.dropped++;
    }
  }

  available(queue: number): void {
    if (queue === NetQueue.RECEIVE) this.#deliver();
  }

  process(queue: number, chain: Chain): void {
    const length = chain.readableBytes - NetHeader.BYTES;
    if (length < 0) {
      throw new ProtocolError('net.driver.tx.header', `a packet of ${chain.readableBytes} bytes has no header`);
    }
    if (this.#linkUp && length <= this.#mtu + LINK_HEADER) {
      const frame = new Uint8Array(length);
      chain.read(NetHeader.BYTES, frame, 0, length);
      this.#options.transmit(frame);
    } else this.dropped++;
    this.#port.complete(queue, chain, 0);
  }

  reset(): void {
    this.#waiting.length = 0;
  }

  get #mtu(): number {
    return this.#options.mtu ?? 1500;
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      const chain = this.#port.take(NetQueue.RECEIVE);
      if (chain === undefined) return;
      const frame = this.#waiting.shift()!;
      const bytes = NetHeader.BYTES + frame.length;
      if (chain.writableBytes < bytes) {
        this.#port.fail(
          new ProtocolError(
            'net.driver.rxbuf.1',
            `a receive buffer of ${chain.writableBytes} bytes; ${bytes} are needed`,
          ),
        );
        return;
      }
      chain.write(0, this.#header, 0, NetHeader.BYTES);
      chain.write(NetHeader.BYTES, frame, 0, frame.length);
      this.#port.complete(NetQueue.RECEIVE, chain, bytes);
    }
  }
}
