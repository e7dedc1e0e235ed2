import { fstatSync, readSync, writeSync } from 'node:fs';
import type { DriverTransport } from '../../driver/transport.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import { PAGE_BYTES } from '../../unix/arena.ts';
import { EventFd } from '../../unix/event-fd.ts';
import { closeFd, memfd } from '../../unix/file-descriptor.ts';
import { whenReadable } from '../../unix/poller.ts';
import { WINDOW_BYTES, type Window, windows } from '../../unix/windows.ts';
import { DriverLink, type LinkOptions, PROTOCOL_FEATURES, USER_ADDRESS } from './driver-link.ts';
import { u64, vringState } from './message-reader.ts';
import { ConfigField, LOG_ALL_BIT, NO_STATE_FD, ProtocolFeature, VringAddress } from './messages.ts';
import { Direction } from './state-transfer.ts';

export interface VhostUserTransportOptions {
  readonly path: string;
  /** Which type of device is there: a back-end does not say. */
  readonly deviceId: number;
  /** Of the memory that the two share: whole pages up to 4 GiB, 16 MiB by default. */
  readonly memoryBytes?: number;
  /** Entries that a queue may have: a back-end does not say that, either. 256. */
  readonly queueSize?: number;
  /** How long the back-end may take to answer a message before it is given up: 10 s. It may have to end requests first. */
  readonly replyLimitMs?: number;
}

interface OpenQueue {
  readonly layout: QueueLayout;
  readonly kick: EventFd;
  readonly call: EventFd;
  readonly watch: { close(): void };
}

const LOG_ALL: bigint = 1n << BigInt(LOG_ALL_BIT);
const MEMORY_BYTES = 16 << 20;
const REPLY_LIMIT_MS = 10_000;
/** Packed rings start with both wrap counters 1. */
const FIRST_PACKED_BASE = 0x8000_8000;

/**
 * The front-end of vhost-user: a driver of ours uses a device in another process, ours or another's, over memory that the two
 * share. Where the back-end has no STATUS, the status field is this object's own, and SUSPEND cannot be had. Every call rejects
 * with TransportError when the back-end does not answer in time, or ends the connection; to the driver the device is lost then.
 */
export class VhostUserTransport implements DriverTransport {
  readonly deviceId: number;
  /** One region at address 0, shared with the back-end. Empty after `close`. */
  readonly memory: GuestMemory = new GuestMemory();
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly #options: VhostUserTransportOptions;
  readonly #queues: (OpenQueue | undefined)[] = [];
  readonly #memoryFd: number;
  readonly #window: Window;
  #link!: DriverLink;
  #accepted: FeatureSet = 0n;
  #status = 0;
  #closed = false;

  private constructor(options: VhostUserTransportOptions) {
    const { deviceId, memoryBytes: bytes = MEMORY_BYTES } = options;
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % PAGE_BYTES !== 0 || bytes > WINDOW_BYTES) {
      throw new RangeError(`memory of ${bytes} bytes cannot be shared: whole pages up to 4 GiB can`);
    }
    this.deviceId = deviceId;
    this.#options = options;
    this.#memoryFd = memfd(bytes);
    this.#window = windows.take(bytes);
    const { arena, offset } = this.#window;
    arena.map(offset, { fd: this.#memoryFd, fdOffset: 0, length: bytes, writable: true });
    this.memory.add(0, new Uint8Array(arena.buffer, offset, bytes), { shared: true });
  }

  /** Connects, and shares the memory. Rejects with TransportError. */
  static async open(options: VhostUserTransportOptions): Promise<VhostUserTransport> {
    const transport = new VhostUserTransport(options);
    try {
      await transport.#connect(options.path);
      return transport;
    } catch (error) {
      transport.close();
      throw error;
    }
  }

  async readStatus(): Promise<number> {
    if (!this.#link.has(ProtocolFeature.STATUS)) return this.#status;
    const status = Number((await this.#link.askU64('GET_STATUS')) & 0xffn);
    // As on a bus, what the device has told before it showed this status is heard before.
    for (const queue of this.#queues) if (queue?.call.take() === true) this.onUsedBuffer?.();
    this.#link.hear();
    return status;
  }

  async writeStatus(value: number): Promise<void> {
    if (value === 0) await this.#stopQueues();
    if (this.#link.has(ProtocolFeature.STATUS)) await this.#link.tell('SET_STATUS', u64(BigInt(value)));
    else if (value === 0 && this.#link.has(ProtocolFeature.RESET_DEVICE))
      await this.#link.tell('RESET_DEVICE', NOTHING);
    this.#status = value;
  }

  readFeatures(): FeatureSet {
    const beyond = this.#link.has(ProtocolFeature.STATUS) ? 0n : featureSet(Feature.SUSPEND);
    return this.#link.offered & ~(PROTOCOL_FEATURES | LOG_ALL | beyond);
  }

  async writeFeatures(features: FeatureSet): Promise<void> {
    this.#accepted = features;
    await this.#link.tell('SET_FEATURES', u64(features | (this.#link.offered & PROTOCOL_FEATURES)));
  }

  readQueueSize(index: number): number {
    return index < this.#link.queueCount ? (this.#options.queueSize ?? 256) : 0;
  }

  async enableQueue(index: number, layout: QueueLayout): Promise<void> {
    const packed = hasFeature(this.#accepted, Feature.RING_PACKED);
    const queue = this.#openQueue(layout);
    this.#queues[index] = queue;
    await this.#link.tell('SET_VRING_BASE', vringState(index, packed ? FIRST_PACKED_BASE : 0));
    await this.#startQueue(index, queue);
  }

  async #startQueue(index: number, queue: OpenQueue): Promise<void> {
    const { layout } = queue;
    await this.#link.tell('SET_VRING_NUM', vringState(index, layout.size));
    await this.#link.tell('SET_VRING_ADDR', vringAddress(index, layout));
    await this.#link.tell('SET_VRING_CALL', u64(BigInt(index)), [queue.call.fd]);
    await this.#link.tell('SET_VRING_KICK', u64(BigInt(index)), [queue.kick.fd]);
    if ((this.#link.offered & PROTOCOL_FEATURES) !== 0n)
      await this.#link.tell('SET_VRING_ENABLE', vringState(index, 1));
  }

  /** There is none: fields that change while they are read cannot be told. */
  readConfigGeneration(): number {
    return 0;
  }

  async readConfig(offset: number, width: AccessWidth): Promise<number> {
    if (!this.#link.has(ProtocolFeature.CONFIG)) return 0;
    // From the beginning: some back-ends, qemu-storage-daemon's among them, overlook the offset.
    const reply = await this.#link.ask('GET_CONFIG', configMessage(0, offset + width, 0));
    if (reply.byteLength !== ConfigField.BYTES + offset + width) {
      throw new TransportError(`the back-end has no ${width} bytes of configuration at ${offset}`);
    }
    return littleEndian(reply, offset, width);
  }

  async writeConfig(offset: number, width: AccessWidth, value: number): Promise<void> {
    if (this.#link.has(ProtocolFeature.CONFIG))
      await this.#link.tell('SET_CONFIG', configMessage(offset, width, value));
  }

  resetQueue(): void {
    throw new TransportError('vhost-user cannot reset single queues');
  }

  queueIsReset(): boolean {
    return false;
  }

  kick(queue: number): void {
    this.#queues[queue]?.kick.signal();
  }

  /** The state of the device, which the driver has suspended. Rejects with TransportError where the back-end has no such thing. */
  async saveState(): Promise<Uint8Array> {
    const fd = memfd(0);
    try {
      await this.#transferState(Direction.SAVE, fd);
      // The other side has moved the position that the two share.
      const bytes = new Uint8Array(fstatSync(fd).size);
      readSync(fd, bytes, 0, bytes.length, 0);
      return bytes;
    } finally {
      closeFd(fd);
    }
  }

  /** Puts a state into a device that was not started. */
  async loadState(state: Uint8Array): Promise<void> {
    const fd = memfd(state.length);
    try {
      writeSync(fd, state, 0, state.length, 0);
      await this.#transferState(Direction.LOAD, fd);
    } finally {
      closeFd(fd);
    }
  }

  /**
   * Goes on with the back-end at another path, which takes the state over: for a driver that has suspended its device, and will
   * resume it there. Rejects with TransportError; then the device is lost.
   */
  async moveTo(path: string, state: Uint8Array): Promise<void> {
    this.#link.onLost = undefined;
    this.#link.close();
    await this.#connect(path);
    await this.#link.tell('SET_FEATURES', u64(this.#accepted | (this.#link.offered & PROTOCOL_FEATURES)));
    await this.loadState(state);
    for (const [index, queue] of this.#queues.entries()) if (queue !== undefined) await this.#startQueue(index, queue);
  }

  /** Ends the connection: to the driver the device is lost. The memory is nobody's then. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#link?.close();
    for (const queue of this.#queues) closeQueue(queue);
    for (const region of this.memory.regions) this.memory.remove(region);
    windows.release(this.#window);
    closeFd(this.#memoryFd);
  }

  async #connect(path: string): Promise<void> {
    const { replyLimitMs = REPLY_LIMIT_MS } = this.#options;
    const memory: LinkOptions['memory'] = { fd: this.#memoryFd, bytes: this.#window.length };
    this.#link = await DriverLink.open({ path, replyLimitMs, memory });
    // Closed meanwhile.
    if (this.#closed) this.#link.close();
    this.#link.onLost = (error) => this.onLost?.(error);
    this.#link.onConfigChange = () => this.onConfigChange?.();
  }

  async #transferState(direction: number, fd: number): Promise<void> {
    if (!this.#link.has(ProtocolFeature.DEVICE_STATE))
      throw new TransportError('the back-end cannot transfer its state');
    const begun = await this.#link.askU64('SET_DEVICE_STATE_FD', vringState(direction, 0), [fd]);
    const done = await this.#link.askU64('CHECK_DEVICE_STATE');
    if (begun === BigInt(NO_STATE_FD) && done === 0n) return;
    throw new TransportError(`the back-end did not ${direction === Direction.SAVE ? 'save' : 'take'} the state`);
  }

  #openQueue(layout: QueueLayout): OpenQueue {
    const call = EventFd.create();
    const watch = whenReadable(call.fd, () => {
      call.take();
      this.onUsedBuffer?.();
    });
    return { layout, kick: EventFd.create(), call, watch };
  }

  async #stopQueues(): Promise<void> {
    for (const [index, queue] of this.#queues.entries()) {
      if (queue === undefined) continue;
      await this.#link.ask('GET_VRING_BASE', vringState(index, 0));
      closeQueue(queue);
      this.#queues[index] = undefined;
    }
  }
}

const NOTHING = new Uint8Array(0);

function closeQueue(queue: OpenQueue | undefined): void {
  queue?.watch.close();
  queue?.call.close();
  queue?.kick.close();
}

function vringAddress(index: number, { descriptorArea, driverArea, deviceArea }: QueueLayout): Uint8Array {
  const view = new DataView(new ArrayBuffer(40));
  view.setUint32(VringAddress.INDEX, index, true);
  view.setBigUint64(VringAddress.DESCRIPTOR, BigInt(USER_ADDRESS + descriptorArea), true);
  view.setBigUint64(VringAddress.USED, BigInt(USER_ADDRESS + deviceArea), true);
  view.setBigUint64(VringAddress.AVAILABLE, BigInt(USER_ADDRESS + driverArea), true);
  return new Uint8Array(view.buffer);
}

function configMessage(offset: number, width: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(ConfigField.BYTES + width));
  view.setUint32(ConfigField.OFFSET, offset, true);
  view.setUint32(ConfigField.SIZE, width, true);
  for (let n = 0; n < width; n++) view.setUint8(ConfigField.BYTES + n, Math.floor(value / 256 ** n) & 0xff);
  return new Uint8Array(view.buffer);
}

function littleEndian(reply: DataView, offset: number, width: AccessWidth): number {
  let value = 0;
  for (let n = width - 1; n >= 0; n--) value = value * 256 + reply.getUint8(ConfigField.BYTES + offset + n);
  return value;
}
