import type { GuestAllocator, GuestSlice } from '../memory/allocator.ts';
import { loadAcquire, storeRelease } from '../memory/order.ts';
import { ProtocolError } from '../spec/fault.ts';
import {
  Available,
  Descriptor,
  DescriptorFlag,
  MAX_SPLIT_QUEUE_SIZE,
  SPLIT_ALIGNMENT,
  splitAreas,
  USED_NO_NOTIFY,
  Used,
} from '../spec/split-ring.ts';
import type { BufferList } from './buffer-list.ts';
import type { QueueFeatures, QueueLayout } from './device-queue.ts';
import type { DriverQueue, UsedBuffer } from './driver-queue.ts';
import { eventPassed } from './notify.ts';

const FREE = -1;
const NONE = -1;

/**
 * The driver end of a split virtqueue (§2.7).
 *
 * The device only writes the used ring, but a device that lies may write anywhere: what this end needs of the descriptor
 * table and the available ring it keeps in shadow arrays and never reads back.
 */
export class SplitDriverQueue implements DriverQueue {
  readonly layout: QueueLayout;
  readonly #size: number;
  readonly #mask: number;
  readonly #features: QueueFeatures;
  readonly #allocator: GuestAllocator;
  /** The three areas in one piece of memory. */
  readonly #areas: GuestSlice;
  readonly #descriptors: GuestSlice;
  readonly #available: GuestSlice;
  readonly #used: GuestSlice;

  /** Per descriptor: the next free one, or the next of its chain. */
  readonly #next: Int32Array;
  /** Per head: descriptors of its chain; FREE when it is no head. */
  readonly #chainLength: Int32Array;
  /** Per head: bytes the device may write. */
  readonly #writableBytes: Float64Array;
  /** Per head: its position in the available ring. */
  readonly #offeredAt: Uint16Array;
  /** Per head: its indirect table. */
  readonly #tables: (GuestSlice | undefined)[];
  /** Tables for the next use, the last one first: there are as many as buffers were out at once. */
  readonly #spareTables: GuestSlice[] = [];
  #freeHead = 0;
  #freeCount: number;

  #availableNext = 0;
  #exposed = 0;
  #usedNext = 0;
  #outstanding = 0;
  /** In order: the head of the oldest buffer, and the last buffer of the batch that is being handed back, with its bytes. */
  #oldest = 0;
  #batchLast = NONE;
  #batchWritten = 0;
  readonly #scratch = { id: 0, written: 0 };

  /**
   * Takes the memory of its areas from `allocator`. Throws RangeError when there is not enough, and for a size that is not
   * a power of two up to 32768.
   */
  constructor(allocator: GuestAllocator, size: number, features: QueueFeatures) {
    if (!(size >= 1 && size <= MAX_SPLIT_QUEUE_SIZE) || !Number.isInteger(Math.log2(size))) {
      throw new RangeError(`a split queue of ${size} entries; sizes are powers of two up to ${MAX_SPLIT_QUEUE_SIZE}`);
    }
    const bytes = splitAreas(size);
    const usedAt = Math.ceil((bytes.descriptor + bytes.driver) / SPLIT_ALIGNMENT.device) * SPLIT_ALIGNMENT.device;
    this.#allocator = allocator;
    this.#features = features;
    this.#size = size;
    this.#mask = size - 1;
    this.#areas = allocator.allocate(usedAt + bytes.device, SPLIT_ALIGNMENT.descriptor);
    this.#descriptors = part(this.#areas, 0, bytes.descriptor);
    this.#available = part(this.#areas, bytes.descriptor, bytes.driver);
    this.#used = part(this.#areas, usedAt, bytes.device);
    this.layout = {
      size,
      descriptorArea: this.#descriptors.address,
      driverArea: this.#available.address,
      deviceArea: this.#used.address,
    };
    this.#next = Int32Array.from({ length: size }, (_, i) => (i + 1) & this.#mask);
    this.#chainLength = new Int32Array(size).fill(FREE);
    this.#writableBytes = new Float64Array(size);
    this.#offeredAt = new Uint16Array(size);
    this.#tables = new Array<GuestSlice | undefined>(size).fill(undefined);
    this.#freeCount = size;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  get hidden(): number {
    return (this.#availableNext - this.#exposed) & 0xffff;
  }

  get nextAvailable(): number {
    return this.#exposed;
  }

  offer(buffers: BufferList): number {
    if (buffers.count === 0 || buffers.count > this.#size) {
      throw new RangeError(`a chain has 1 to ${this.#size} buffers in this queue, not ${buffers.count}`);
    }
    const indirect = this.#features.indirect && buffers.count > 1;
    const needed = indirect ? 1 : buffers.count;
    if (needed > this.#freeCount) return -1;
    const head = this.#freeHead;
    if (indirect) this.#writeIndirect(head, buffers);
    else this.#writeDirect(head, buffers);
    this.#chainLength[head] = needed;
    this.#writableBytes[head] = buffers.writableBytes;
    this.#offeredAt[head] = this.#availableNext;
    this.#freeCount -= needed;
    const entry = this.#available.offset + Available.RING + Available.ENTRY_SIZE * (this.#availableNext & this.#mask);
    this.#available.region.view.setUint16(entry, head, true);
    this.#availableNext = (this.#availableNext + 1) & 0xffff;
    this.#outstanding++;
    return head;
  }

  expose(): boolean {
    const before = this.#exposed;
    const after = this.#availableNext;
    if (before === after) return false;
    storeRelease(this.#available.region, this.#available.offset + Available.INDEX, after);
    this.#exposed = after;
    const { region, offset } = this.#used;
    if (this.#features.eventIdx) {
      const availableEvent = offset + Used.RING + Used.ENTRY_SIZE * this.#size;
      return eventPassed(loadAcquire(region, availableEvent), after, before);
    }
    return (loadAcquire(region, offset + Used.FLAGS) & USED_NO_NOTIFY) === 0;
  }

  collect(): UsedBuffer | undefined {
    const id = this.#features.inOrder === true ? this.#nextInOrder() : this.#nextUsed();
    if (id === NONE) return undefined;
    this.#usedNext = (this.#usedNext + 1) & 0xffff;
    this.#outstanding--;
    this.#spareTable(id);
    this.#free(id);
    this.#scratch.id = id;
    return this.#scratch;
  }

  arm(): boolean {
    // Without EVENT_IDX the available flags stay 0: this driver always wants interrupts.
    if (this.#features.eventIdx) {
      const usedEvent = this.#available.offset + Available.RING + Available.ENTRY_SIZE * this.#size;
      storeRelease(this.#available.region, usedEvent, this.#usedNext);
    }
    return this.#look();
  }

  release(): void {
    for (const slice of [this.#areas, ...this.#tables, ...this.#spareTables]) {
      if (slice !== undefined) this.#allocator.release(slice);
    }
  }

  /** The buffer that the next used entry names, with its bytes in the scratch object; NONE when there is none. */
  #nextUsed(): number {
    if (!this.#look()) return NONE;
    const { region, offset } = this.#used;
    const entry = offset + Used.RING + Used.ENTRY_SIZE * (this.#usedNext & this.#mask);
    const id = region.view.getUint32(entry, true);
    const written = region.view.getUint32(entry + 4, true);
    if (id >= this.#size || this.#chainLength[id] === FREE || this.#isHidden(id)) {
      throw new ProtocolError('split.device.used.id', `the device used buffer ${id}, which it does not have`);
    }
    if (written > this.#writableBytes[id]!) {
      throw new ProtocolError(
        'split.device.used.2',
        `the device claims to have written ${written} bytes to a buffer of ${this.#writableBytes[id]}`,
      );
    }
    this.#scratch.written = written;
    return id;
  }

  /**
   * The oldest buffer, when it was used (§2.7.9): an entry stands for all buffers up to the one that it names; those before
   * that one were read and written completely.
   */
  #nextInOrder(): number {
    if (this.#batchLast === NONE) {
      const last = this.#nextUsed();
      if (last === NONE) return NONE;
      const count = ((this.#offeredAt[last]! - this.#usedNext) & 0xffff) + 1;
      if (count > this.#waiting()) {
        throw new ProtocolError(
          'split.device.used.order',
          `the device used buffer ${last} before ${count - 1} that were offered earlier`,
        );
      }
      this.#batchLast = last;
      this.#batchWritten = this.#scratch.written;
    }
    const id = this.#oldest;
    const isLast = id === this.#batchLast;
    this.#scratch.written = isLast ? this.#batchWritten : this.#writableBytes[id]!;
    if (isLast) this.#batchLast = NONE;
    this.#oldest = (id + this.#chainLength[id]!) & this.#mask;
    return id;
  }

  #look(): boolean {
    return this.#waiting() > 0;
  }

  /** Used buffers that were not collected. */
  #waiting(): number {
    const index = loadAcquire(this.#used.region, this.#used.offset + Used.INDEX);
    const waiting = (index - this.#usedNext) & 0xffff;
    if (waiting > this.#outstanding - this.hidden) {
      throw new ProtocolError(
        'split.device.used.index',
        `the used index is ${index}, ${waiting} past ours, with ${this.#outstanding - this.hidden} buffers out`,
      );
    }
    return waiting;
  }

  /** Offered, but not shown to the device yet. */
  #isHidden(head: number): boolean {
    return ((this.#offeredAt[head]! - this.#exposed) & 0xffff) < this.hidden;
  }

  #free(head: number): void {
    const length = this.#chainLength[head]!;
    this.#freeCount += length;
    this.#chainLength[head] = FREE;
    // §2.7.5: in order, descriptors are used in ring order, and so the next free ones are where they were.
    if (this.#features.inOrder === true) return;
    let last = head;
    for (let i = 1; i < length; i++) last = this.#next[last]!;
    this.#next[last] = this.#freeHead;
    this.#freeHead = head;
  }

  #spareTable(head: number): void {
    const table = this.#tables[head];
    if (table === undefined) return;
    this.#tables[head] = undefined;
    this.#spareTables.push(table);
  }

  #writeDirect(head: number, buffers: BufferList): void {
    const { view } = this.#descriptors.region;
    let index = head;
    for (let i = 0; i < buffers.count; i++) {
      const last = i === buffers.count - 1;
      const next = this.#next[index]!;
      const flags = (i >= buffers.readableCount ? DescriptorFlag.WRITE : 0) | (last ? 0 : DescriptorFlag.NEXT);
      const at = this.#descriptors.offset + Descriptor.SIZE * index;
      writeDescriptor(view, at, buffers.addresses[i]!, buffers.lengths[i]!, flags, last ? 0 : next);
      index = next;
    }
    this.#freeHead = index;
  }

  #writeIndirect(head: number, buffers: BufferList): void {
    const bytes = buffers.count * Descriptor.SIZE;
    let table = this.#spareTables.pop();
    if (table === undefined || table.length < bytes) {
      if (table !== undefined) this.#allocator.release(table);
      table = this.#allocator.allocate(bytes, SPLIT_ALIGNMENT.descriptor);
    }
    this.#tables[head] = table;
    for (let i = 0; i < buffers.count; i++) {
      const last = i === buffers.count - 1;
      const flags = (i >= buffers.readableCount ? DescriptorFlag.WRITE : 0) | (last ? 0 : DescriptorFlag.NEXT);
      const at = table.offset + Descriptor.SIZE * i;
      writeDescriptor(table.region.view, at, buffers.addresses[i]!, buffers.lengths[i]!, flags, last ? 0 : i + 1);
    }
    const at = this.#descriptors.offset + Descriptor.SIZE * head;
    writeDescriptor(this.#descriptors.region.view, at, table.address, bytes, DescriptorFlag.INDIRECT, 0);
    this.#freeHead = this.#next[head]!;
  }
}

function part({ address, region, offset }: GuestSlice, start: number, length: number): GuestSlice {
  return { address: address + start, length, region, offset: offset + start };
}

function writeDescriptor(
  view: DataView,
  at: number,
  address: number,
  length: number,
  flags: number,
  next: number,
): void {
  view.setUint32(at, address >>> 0, true);
  view.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true);
  view.setUint32(at + Descriptor.LENGTH, length, true);
  view.setUint16(at + Descriptor.FLAGS, flags, true);
  view.setUint16(at + Descriptor.NEXT, next, true);
}
