import { BlockHeader, BlockRequestType, BlockStatus, SECTOR_BYTES } from '../../devices/block/layout.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import type { DriverQueue, UsedBuffer } from '../../queue/driver-queue.ts';
import { EventSuppression, PackedDescriptor } from '../../spec/packed-ring.ts';
import { splitAreas } from '../../spec/split-ring.ts';
import { CaseFailed } from './case-failed.ts';

/** Enough for a frame and its header. */
const ROOM_BYTES = 2048;

/** A buffer for whatever the device has to give. */
interface Room {
  readonly kind: 'room';
  readonly data: GuestSlice;
}

interface Read {
  readonly kind: 'read';
  readonly data: GuestSlice;
  readonly status: GuestSlice;
  readonly sector: number;
}

interface Write extends Omit<Read, 'kind'> {
  readonly kind: 'write';
}

/** What a queue by hand needs of its driver. */
export interface QueueSurroundings {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly isPacked: boolean;
  /** Lets the recorder look at the queues, before something is written there. */
  look(): void;
  kick(queue: number, nextAvailable: number): void;
  /** A request was done well. */
  done(sector: number): void;
  isSector(sector: number, bytes: Uint8Array): boolean;
}

/** A queue of a driver by hand: it is offered to, kicked and collected from as told. Every answer is checked. */
export class HandQueue {
  readonly index: number;
  readonly ring: DriverQueue;
  readonly #around: QueueSurroundings;
  readonly #out: Map<number, Room | Read | Write> = new Map();

  constructor(index: number, ring: DriverQueue, around: QueueSurroundings) {
    this.index = index;
    this.ring = ring;
    this.#around = around;
  }

  get outstanding(): number {
    return this.#out.size;
  }

  /** Makes reads available, without a kick. */
  offer(...sectors: readonly number[]): void {
    this.#around.look();
    for (const sector of sectors) this.#request(sector);
    this.ring.expose();
  }

  send(...sectors: readonly number[]): void {
    this.offer(...sectors);
    this.kick();
  }

  /** As `send`, but kicks only when the device asks for that. */
  sendIfAsked(...sectors: readonly number[]): void {
    this.#around.look();
    for (const sector of sectors) this.#request(sector);
    if (this.ring.expose()) this.kick();
  }

  /** Writes a sector full of one byte. */
  sendWrite(sector: number, byte: number): void {
    this.#around.look();
    this.#request(sector, byte);
    this.ring.expose();
    this.kick();
  }

  /** Makes buffers available that the device can write to, and kicks. */
  sendRoom(count: number): void {
    this.#around.look();
    for (let n = 0; n < count; n++) {
      const data = this.#around.allocator.allocate(ROOM_BYTES);
      this.#offer(new BufferList().addWritable(data.address, data.length), { kind: 'room', data });
    }
    this.ring.expose();
    this.kick();
  }

  kick(): void {
    this.#around.kick(this.index, this.ring.nextAvailable);
  }

  /** Takes back what was used, and checks it. */
  collect(): void {
    if (this.#out.size === 0) return;
    do {
      // What was used is recorded before it is answered by another used_event.
      do this.#around.look();
      while (this.#takeUsed() > 0);
    } while (this.ring.arm());
  }

  /** Fills the memory of the queue with ones, and returns what puts back what was there. */
  poison(): () => void {
    const areas = this.#areas();
    const before = areas.map((area) => area.slice());
    for (const area of areas) area.fill(0xff);
    return () =>
      areas.forEach((area, n) => {
        area.set(before[n]!);
      });
  }

  /** What the rings hold, and the buffers that are out. */
  bytes(): Buffer {
    const slices = [...this.#out.values()].flatMap((out) =>
      out.kind === 'room' ? [out.data] : [out.data, out.status],
    );
    return Buffer.concat([...this.#areas(), ...slices.map(bytesOf)]);
  }

  #areas(): readonly Uint8Array[] {
    const { descriptorArea, driverArea, deviceArea, size } = this.ring.layout;
    const { SIZE } = EventSuppression;
    const lengths = this.#around.isPacked
      ? { descriptor: PackedDescriptor.SIZE * size, driver: SIZE, device: SIZE }
      : splitAreas(size);
    const areas = [
      { address: descriptorArea, length: lengths.descriptor },
      { address: driverArea, length: lengths.driver },
      { address: deviceArea, length: lengths.device },
    ];
    return areas.map(({ address, length }) => {
      const region = this.#around.memory.find(address, length)!;
      return region.bytes.subarray(address - region.address, address - region.address + length);
    });
  }

  /** A read, or a write of a sector full of `byte`. */
  #request(sector: number, byte?: number): void {
    const { allocator } = this.#around;
    const header = allocator.allocate(BlockHeader.BYTES);
    const data = allocator.allocate(SECTOR_BYTES);
    const status = allocator.allocate(1);
    const { view } = header.region;
    const type = byte === undefined ? BlockRequestType.IN : BlockRequestType.OUT;
    view.setUint32(header.offset + BlockHeader.TYPE, type, true);
    view.setUint32(header.offset + BlockHeader.SECTOR, sector, true);
    bytesOf(status).fill(0xff);
    const list = new BufferList().addReadable(header.address, header.length);
    if (byte === undefined) list.addWritable(data.address, data.length);
    else {
      bytesOf(data).fill(byte);
      list.addReadable(data.address, data.length);
    }
    const kind = byte === undefined ? 'read' : 'write';
    this.#offer(list.addWritable(status.address, 1), { kind, data, status, sector });
  }

  #offer(list: BufferList, out: Room | Read | Write): void {
    const id = this.ring.offer(list);
    if (id < 0) throw new RangeError('the case has more requests than its queue has room for');
    this.#out.set(id, out);
  }

  /** How many it were. */
  #takeUsed(): number {
    let taken = 0;
    for (let used = this.ring.collect(); used !== undefined; used = this.ring.collect(), taken++) this.#answered(used);
    return taken;
  }

  #answered({ id, written }: UsedBuffer): void {
    const out = this.#out.get(id)!;
    this.#out.delete(id);
    if (out.kind !== 'room') this.#check(out);
    else if (written === 0) throw new CaseFailed('a buffer that waited comes back empty');
  }

  #check({ kind, data, status, sector }: Read | Write): void {
    const answer = bytesOf(status)[0];
    if (answer !== BlockStatus.OK) throw new CaseFailed(`the ${kind} of sector ${sector} ends with status ${answer}`);
    if (kind === 'read' && !this.#around.isSector(sector, bytesOf(data)))
      throw new CaseFailed(`sector ${sector} has other bytes`);
    this.#around.done(sector);
  }
}

function bytesOf({ region, offset, length }: GuestSlice): Uint8Array {
  return region.bytes.subarray(offset, offset + length);
}
