import type { Later } from '../../driver/transport.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';
import type { PciAccess } from '../../transports/pci/driver.ts';
import type { PciMessages } from '../../transports/pci/driver-vectors.ts';
import { findCapabilities } from '../../transports/pci/found-capabilities.ts';
import { EventFd } from '../../unix/event-fd.ts';
import { whenReadable } from '../../unix/poller.ts';
import { UnixSocket } from '../../unix/socket.ts';
import { ClientMemory } from './client-memory.ts';
import { ClientVectors } from './client-vectors.ts';
import {
  DeviceFlag,
  DeviceState,
  DmaFlag,
  Feature,
  Irq,
  MOST_DATA_BYTES,
  MOST_FDS,
  migrationState,
  Region,
  SetIrqs,
} from './messages.ts';
import { RequestSocket } from './request-socket.ts';
import { decodeCapabilities, encodeCapabilities, MAJOR, MINOR } from './version.ts';

export interface VfioUserClientOptions {
  /** Memory for rings and buffers, which stays the caller's; 16 MiB of the client's own by default. */
  readonly memory?: ClientMemory;
  /** How long the server may take to answer a request before it is given up: 10 s. It may have to end others first. */
  readonly replyLimitMs?: number;
}

const MEMORY_BYTES = 16 << 20;
const CHUNK_BYTES = MOST_DATA_BYTES / 2;

/**
 * The client's end of vfio-user: a PCI function in another process, for a driver of ours. `memory` is shared with it. Writes are
 * posted; all else rejects with TransportError when the server refuses it or is gone.
 */
export class VfioUserClient implements PciAccess {
  readonly #requests: RequestSocket;
  readonly #memory: ClientMemory;
  readonly #ownsMemory: boolean;
  readonly #line = EventFd.create();
  readonly #poll: { close(): void };
  /** Undefined for a function without MSI-X. */
  #vectors: ClientVectors | undefined;
  #onInterrupt: (() => void) | undefined;
  /** An interrupt came when there was nobody to tell. */
  #missed = false;

  private constructor(socket: UnixSocket, { memory: given, replyLimitMs }: VfioUserClientOptions) {
    this.#requests = new RequestSocket(socket, replyLimitMs);
    this.#memory = given ?? new ClientMemory(MEMORY_BYTES);
    this.#ownsMemory = given === undefined;
    this.#poll = whenReadable(this.#line.fd, () => this.#interrupted());
  }

  /** Connects, shares the memory, and enables INTx. Rejects with ProtocolError for what is no virtio device. */
  static async connect(path: string, options: VfioUserClientOptions = {}): Promise<VfioUserClient> {
    const client = new VfioUserClient(UnixSocket.connect(path), options);
    try {
      await client.#setUp();
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** The driver's memory, from address 0 on. */
  get memory(): GuestMemory {
    return this.#memory.memory;
  }

  get messages(): PciMessages | undefined {
    return this.#vectors;
  }

  get onInterrupt(): (() => void) | undefined {
    return this.#onInterrupt;
  }

  set onInterrupt(handler: (() => void) | undefined) {
    this.#onInterrupt = handler;
    if (handler !== undefined && this.#missed) this.#tell();
  }

  get onLost(): ((error: Error) => void) | undefined {
    return this.#requests.onEnded;
  }

  set onLost(handler: ((error: Error) => void) | undefined) {
    this.#requests.onEnded = handler;
  }

  readConfig(offset: number, width: AccessWidth): Promise<number> {
    return this.#read(Region.CONFIG, offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): Later<void> {
    const written = this.#write(Region.CONFIG, offset, width, value);
    return this.#vectors?.isControl(offset, width) === true ? this.#vectors.control(value) : written;
  }

  readBar(bar: number, offset: number, width: AccessWidth): Later<number> {
    if (this.#vectors?.has(bar, offset) === true) return this.#vectors.read(offset, width);
    return this.#read(bar, offset, width);
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): Later<void> {
    if (this.#vectors?.has(bar, offset) === true) return this.#vectors.write(offset, width, value);
    return this.#write(bar, offset, width, value);
  }

  /** Resolves when the device has done all that it was told before, and its interrupts have been told here. */
  async settled(): Promise<void> {
    await this.readConfig(0, 2);
  }

  /** Resets the function, as the bus does. */
  async reset(): Promise<void> {
    await this.#requests.request('reset', {});
  }

  /** Lets the device access the memory, as it does from `connect` on. */
  async share(): Promise<void> {
    const { bytes, fd } = this.#memory;
    const flags = DmaFlag.READ | DmaFlag.WRITE;
    await this.#requests.request('dmaMap', { argsz: 32, flags, offset: 0, address: 0, size: bytes }, { fds: [fd] });
  }

  /** Takes the memory away from the device for a while, as virtual machines do; resolves when nothing of it is in use there. */
  async unshare(): Promise<void> {
    await this.#requests.request('dmaUnmap', { argsz: 24, flags: 0, address: 0, size: this.#memory.bytes });
  }

  /** Stops the device and reads its state. The device stays stopped; `run` lets it go on. */
  async save(): Promise<Uint8Array> {
    await this.#setState(DeviceState.STOP_COPY);
    const pieces: Uint8Array[] = [];
    for (;;) {
      const asked = { argsz: 8 + CHUNK_BYTES, size: CHUNK_BYTES };
      const { fields, data } = await this.#requests.request('readMigration', asked);
      pieces.push(data);
      if (fields.size < CHUNK_BYTES) return Buffer.concat(pieces);
    }
  }

  /** Gives the device the state that another one was saved in, and lets it run. The memory has to be what it was. */
  async restore(state: Uint8Array): Promise<void> {
    await this.#setState(DeviceState.RESUMING);
    for (let at = 0; at < state.length; at += CHUNK_BYTES) {
      const data = state.subarray(at, at + CHUNK_BYTES);
      await this.#requests.request('writeMigration', { argsz: 8 + data.length, size: data.length }, { data });
    }
    await this.run();
  }

  /** Lets a stopped device go on. */
  async run(): Promise<void> {
    await this.#setState(DeviceState.RUNNING);
  }

  /** Ends the connection. What is not answered yet rejects, and a driver is told that its device is lost. */
  close(): void {
    this.#requests.close();
    this.#poll.close();
    this.#line.close();
    this.#vectors?.close();
    if (this.#ownsMemory) this.#memory.release();
  }

  async #setUp(): Promise<void> {
    const data = encodeCapabilities({
      maxMsgFds: MOST_FDS,
      maxDataXferSize: MOST_DATA_BYTES,
      maxDmaMaps: 1,
      pgsizes: 4096,
      writeMultiple: false,
    });
    const version = await this.#requests.request('version', { major: MAJOR, minor: MINOR }, { data });
    if (version.fields.major !== MAJOR || decodeCapabilities(version.data) === undefined) {
      throw new TransportError(`the vfio-user server speaks version ${version.fields.major}`);
    }
    const asked = { argsz: 16, flags: 0, regions: 0, interrupts: 0 };
    const { fields: info } = await this.#requests.request('deviceInfo', asked);
    if ((info.flags & DeviceFlag.PCI) === 0) throw new TransportError('the vfio-user server has no PCI device');
    await this.share();
    const intx = { argsz: 20, flags: SetIrqs.EVENTFD | SetIrqs.TRIGGER, index: Irq.INTX, start: 0, count: 1 };
    await this.#requests.request('setIrqs', intx, { fds: [this.#line.fd] });
    const { msix } = await findCapabilities(this);
    if (msix !== undefined) this.#vectors = new ClientVectors(this.#requests, msix);
  }

  async #setState(state: number): Promise<void> {
    const data = new Uint8Array(migrationState.bytes);
    migrationState.write(new DataView(data.buffer), { state, dataFd: 0 });
    const flags = Feature.SET | Feature.DEVICE_STATE;
    await this.#requests.request('feature', { argsz: 8 + data.length, flags }, { data });
  }

  /** As on a bus, what the function has signalled before it answers is heard before the answer. */
  async #read(region: number, offset: number, count: AccessWidth): Promise<number> {
    const { data } = await this.#requests.request('regionRead', { offset, region, count });
    this.#interrupted();
    this.#vectors?.flush();
    if (data.length !== count) throw new TransportError(`${count} bytes were read, and ${data.length} came`);
    return data.reduceRight((sum, byte) => sum * 256 + byte, 0);
  }

  #write(region: number, offset: number, count: AccessWidth, value: number): Later<void> {
    const data = Uint8Array.from({ length: count }, (_, n) => Math.floor(value / 256 ** n) & 0xff);
    return this.#requests.post('regionWrite', { offset, region, count }, data);
  }

  #interrupted(): void {
    if (!this.#line.take()) return;
    if (this.#onInterrupt === undefined) this.#missed = true;
    else this.#tell();
  }

  /** The handler reads the cause, which lowers the line; INTx is masked until it is asked for again, behind that. */
  #tell(): void {
    this.#missed = false;
    this.#onInterrupt?.();
    const unmask = { argsz: 20, flags: SetIrqs.NONE | SetIrqs.UNMASK, index: Irq.INTX, start: 0, count: 1 };
    if (this.#requests.isOpen) void this.#requests.post('setIrqs', unmask);
  }
}
