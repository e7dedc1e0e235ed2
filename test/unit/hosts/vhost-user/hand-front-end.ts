import { BlockHeader, BlockRequestType } from '../../../../src/devices/block/layout.ts';
import { FrontEndMemory, type RegionDescription } from '../../../../src/hosts/vhost-user/front-end-memory.ts';
import { frame, u64, vringState } from '../../../../src/hosts/vhost-user/message-reader.ts';
import {
  HEADER_BYTES,
  MemoryRegionField,
  MemoryTable,
  type RequestName,
  requestOf,
  SINGLE_REGION,
  VringAddress,
} from '../../../../src/hosts/vhost-user/messages.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../../src/queue/buffer-list.ts';
import type { DriverQueue } from '../../../../src/queue/driver-queue.ts';
import { PackedDriverQueue } from '../../../../src/queue/packed-driver-queue.ts';
import { SplitDriverQueue } from '../../../../src/queue/split-driver-queue.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';

const NEED_REPLY = 8;
/** Where the front-end has what the guest has at 0. */
const USER = 2 ** 40;
const PROTOCOL_FEATURES: bigint = 1n << 30n;

export type Format = 'split' | 'packed';

/** A request that is out, or was. */
export interface HandRequest {
  readonly id: number;
  readonly sector: number;
  readonly statusAddress: number;
  /** The status byte once the buffer was used. */
  status: number | undefined;
}

interface HandRing {
  readonly queue: DriverQueue;
  readonly kick: EventFd;
  readonly call: EventFd;
  readonly out: Map<number, HandRequest>;
}

/**
 * A front-end of which a test says every message, and whose guest drives a disk. Its rings and requests outlive its connections,
 * as those of a machine whose back-end is started again do.
 */
export class HandFrontEnd {
  /** The guest's memory, as it sees it. */
  readonly memory: GuestMemory = new GuestMemory();
  readonly rings: (HandRing | undefined)[] = [];
  readonly #mapped = new FrontEndMemory(this.memory, 64);
  readonly #pump: () => void;
  #socket: UnixSocket;
  #received: number[] = [];
  readonly #fds: number[] = [];
  #ended = false;

  /** `pump` lets a back-end in this thread do something. */
  constructor(path: string, pump: () => void = () => {}) {
    this.#pump = pump;
    this.#socket = UnixSocket.connect(path);
  }

  /** As the front-end of the same guest, of another back-end. */
  reconnect(path: string): void {
    this.#socket.close();
    this.#socket = UnixSocket.connect(path);
    this.#received = [];
    this.#ended = false;
  }

  sendBytes(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.#socket.send(bytes, fds);
    this.#pump();
  }

  send(name: RequestName, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = [], flags = 0): void {
    this.sendBytes(frame(requestOf(name), flags, payload), fds);
  }

  /** The payload of the reply. Descriptors that come with it are in `takeFds`. */
  async ask(name: RequestName, payload?: Uint8Array, fds?: readonly number[], flags = 0): Promise<Buffer> {
    this.send(name, payload, fds, flags);
    return await this.reply(name);
  }

  async askU64(name: RequestName, payload?: Uint8Array, fds?: readonly number[]): Promise<bigint> {
    return (await this.ask(name, payload, fds)).readBigUInt64LE(0);
  }

  /** With NEED_REPLY: whether it was obeyed. */
  async order(name: RequestName, payload?: Uint8Array, fds?: readonly number[]): Promise<boolean> {
    return (await this.ask(name, payload, fds, NEED_REPLY)).readBigUInt64LE(0) === 0n;
  }

  async reply(name: RequestName): Promise<Buffer> {
    for (let turn = 0; ; turn++) {
      this.#receive();
      const head = Buffer.from(this.#received);
      const length = head.length < HEADER_BYTES ? Number.NaN : HEADER_BYTES + head.readUInt32LE(8);
      if (head.length >= length) {
        if (head.readUInt32LE(0) !== requestOf(name))
          throw new Error(`${name} was answered as ${head.readUInt32LE(0)}`);
        this.#received = this.#received.slice(length);
        return head.subarray(HEADER_BYTES, length);
      }
      if (this.#ended) throw new Error(`${name}: the back-end has ended the connection`);
      if (turn === 5000) throw new Error(`${name} was not answered`);
      await new Promise((resolve) => setTimeout(resolve, turn < 5 ? 0 : 1));
      this.#pump();
    }
  }

  /** Nothing has come that was not looked at. */
  get isSilent(): boolean {
    this.#pump();
    this.#receive();
    return this.#received.length === 0;
  }

  /** Whether the back-end has ended the connection. */
  get ended(): boolean {
    this.#pump();
    this.#receive();
    return this.#ended;
  }

  takeFds(): number[] {
    return this.#fds.splice(0);
  }

  /** Features of the device as given, and of the protocol all that there are but for `without`. */
  async negotiate(features: bigint, without: readonly number[] = []): Promise<void> {
    this.send('SET_OWNER');
    await this.askU64('GET_FEATURES');
    const withheld = without.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    this.send('SET_PROTOCOL_FEATURES', u64((await this.askU64('GET_PROTOCOL_FEATURES')) & ~withheld));
    this.send('SET_FEATURES', u64(features | PROTOCOL_FEATURES));
  }

  /** Maps regions for the guest, if they are not yet, and shares them in one table. The descriptors stay the caller's. */
  async shareTable(regions: readonly RegionDescription[], fds: readonly number[]): Promise<boolean> {
    for (const [n, region] of regions.entries()) this.mapOnly(region, fds[n]!);
    const payload = Buffer.concat([new Uint8Array(MemoryTable.REGIONS), ...regions.map(encodeRegion)]);
    payload.writeUInt32LE(regions.length, 0);
    return await this.order('SET_MEM_TABLE', payload, fds);
  }

  /** Maps a region that the back-end is not told of. */
  mapOnly(region: RegionDescription, fd: number): void {
    if (this.memory.find(region.guestAddress, 1) === undefined) this.#mapped.add(region, fd);
  }

  async addRegion(region: RegionDescription, fd: number): Promise<boolean> {
    this.mapOnly(region, fd);
    return await this.addRegionOnly(region, fd);
  }

  /** The guest has it not. */
  async addRegionOnly(region: RegionDescription, fd: number): Promise<boolean> {
    return await this.order('ADD_MEM_REG', singleRegion(region), [fd]);
  }

  async removeRegion(region: RegionDescription): Promise<boolean> {
    return await this.order('REM_MEM_REG', singleRegion(region));
  }

  /** Makes a ring in the guest's memory and starts it. */
  async makeRing(index: number, format: Format, size: number, at: number): Promise<void> {
    const Queue = format === 'split' ? SplitDriverQueue : PackedDriverQueue;
    const queue = new Queue(new GuestAllocator(this.memory, at, 0x4000), size, { indirect: false, eventIdx: false });
    this.rings[index] = { queue, kick: EventFd.create(), call: EventFd.create(), out: new Map() };
    await this.startRing(index, format === 'split' ? 0 : 0x8000_8000);
  }

  /** As after a reset. */
  forgetRing(index: number): void {
    this.rings[index]!.kick.close();
    this.rings[index]!.call.close();
    delete this.rings[index];
  }

  async startRing(index: number, base: number): Promise<void> {
    const { queue, kick, call } = this.rings[index]!;
    const { layout } = queue;
    const addresses = new DataView(new ArrayBuffer(40));
    addresses.setUint32(VringAddress.INDEX, index, true);
    addresses.setBigUint64(VringAddress.DESCRIPTOR, BigInt(USER + layout.descriptorArea), true);
    addresses.setBigUint64(VringAddress.USED, BigInt(USER + layout.deviceArea), true);
    addresses.setBigUint64(VringAddress.AVAILABLE, BigInt(USER + layout.driverArea), true);
    this.send('SET_VRING_NUM', vringState(index, layout.size));
    this.send('SET_VRING_BASE', vringState(index, base));
    this.send('SET_VRING_ADDR', new Uint8Array(addresses.buffer));
    this.send('SET_VRING_CALL', u64(BigInt(index)), [call.fd]);
    this.send('SET_VRING_KICK', u64(BigInt(index)), [kick.fd]);
    if (!(await this.order('SET_VRING_ENABLE', vringState(index, 1)))) throw new Error(`ring ${index} does not start`);
  }

  /**
   * Offers a request whose header and status are at `at`, and whose data is at `data`; header and data may be anywhere, and
   * unaligned. Kicks.
   */
  request(
    index: number,
    {
      type,
      sector,
      at,
      data,
    }: { type: 'read' | 'write'; sector: number; at: number; data: readonly [number, number][] },
  ): HandRequest {
    const ring = this.rings[index]!;
    const statusAddress = at + BlockHeader.BYTES;
    const header = new DataView(new ArrayBuffer(BlockHeader.BYTES));
    header.setUint32(BlockHeader.TYPE, type === 'read' ? BlockRequestType.IN : BlockRequestType.OUT, true);
    header.setBigUint64(BlockHeader.SECTOR, BigInt(sector), true);
    this.write(at, new Uint8Array(header.buffer));
    this.write(statusAddress, Uint8Array.of(0xff));
    const list = new BufferList().addReadable(at, BlockHeader.BYTES);
    for (const [address, length] of data) {
      if (type === 'read') list.addWritable(address, length);
      else list.addReadable(address, length);
    }
    const request: HandRequest = {
      id: ring.queue.offer(list.addWritable(statusAddress, 1)),
      sector,
      statusAddress,
      status: undefined,
    };
    if (request.id < 0) throw new Error(`ring ${index} is full`);
    ring.out.set(request.id, request);
    ring.queue.expose();
    this.kick(index);
    return request;
  }

  kick(index: number): void {
    this.rings[index]!.kick.signal();
    this.#pump();
  }

  /** Looks what has come back; how many. A request that comes back twice throws. */
  collect(): number {
    this.#pump();
    let count = 0;
    for (const ring of this.rings) {
      if (ring === undefined) continue;
      const { queue, out } = ring;
      for (let used = queue.collect(); used !== undefined; used = queue.collect()) {
        const request = out.get(used.id)!;
        out.delete(used.id);
        request.status = this.read(request.statusAddress, 1)[0]!;
        count++;
      }
    }
    return count;
  }

  read(address: number, length: number): Uint8Array {
    const region = this.memory.find(address, length)!;
    return region.bytes.slice(address - region.address, address - region.address + length);
  }

  write(address: number, bytes: Uint8Array): void {
    const region = this.memory.find(address, bytes.length)!;
    region.bytes.set(bytes, address - region.address);
  }

  /** Ends the connection; the guest goes on. */
  disconnect(): void {
    this.#socket.close();
    this.#pump();
  }

  close(): void {
    this.disconnect();
    for (const ring of this.rings.splice(0)) {
      ring?.kick.close();
      ring?.call.close();
    }
    for (const fd of this.takeFds()) closeFd(fd);
    this.#mapped.clear();
  }

  #receive(): void {
    const bytes = new Uint8Array(4096);
    try {
      for (;;) {
        const received = this.#socket.receive(bytes);
        if (received === undefined) return;
        this.#fds.push(...received.fds);
        this.#received.push(...bytes.subarray(0, received.count));
        if (received.count > 0) continue;
        this.#ended = true;
        return;
      }
    } catch {
      // Reset: it was ended before all was read that was sent.
      this.#ended = true;
    }
  }
}

/** A region whose file has nothing before it. */
export function region(guestAddress: number, size: number, fileOffset = 0): RegionDescription {
  return { guestAddress, size, userAddress: USER + guestAddress, fileOffset };
}

function encodeRegion({ guestAddress, size, userAddress, fileOffset }: RegionDescription): Uint8Array {
  const view = new DataView(new ArrayBuffer(MemoryRegionField.BYTES));
  view.setBigUint64(MemoryRegionField.GUEST, BigInt(guestAddress), true);
  view.setBigUint64(MemoryRegionField.SIZE, BigInt(size), true);
  view.setBigUint64(MemoryRegionField.USER, BigInt(userAddress), true);
  view.setBigUint64(MemoryRegionField.OFFSET, BigInt(fileOffset), true);
  return new Uint8Array(view.buffer);
}

export function singleRegion(description: RegionDescription): Uint8Array {
  return Buffer.concat([new Uint8Array(SINGLE_REGION), encodeRegion(description)]);
}
