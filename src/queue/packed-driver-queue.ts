import type { GuestAllocator, GuestSlice } from '../memory/allocator.ts';
import { loadAcquire, storeRelease } from '../memory/order.ts';
import { ProtocolError } from '../spec/fault.ts';
import {
  EventFlag,
  EventSuppression,
  MAX_PACKED_QUEUE_SIZE,
  PACKED_ALIGNMENT,
  PackedDescriptor,
  PackedFlag,
} from '../spec/packed-ring.ts';
import type { BufferList } from './buffer-list.ts';
import type { QueueFeatures, QueueLayout } from './device-queue.ts';
import type { DriverQueue, UsedBuffer } from './driver-queue.ts';
import { packedEventPassed } from './notify.ts';

const FREE = -1;
const NONE = -1;

/**
 * The driver end of a packed virtqueue (§2.8).
 *
 * The device writes used descriptors over our own; what this end needs of a buffer it keeps in shadow arrays by buffer id
 * and never reads back. The flags of the first new descriptor are written last, by `expose`.
 */
export class PackedDriverQueue implements DriverQueue {
  readonly layout: QueueLayout;
  readonly #size: number;
  readonly #features: QueueFeatures;
  readonly #allocator: GuestAllocator;
  /** The three areas in one piece of memory. */
  readonly #areas: GuestSlice;
  readonly #ring: GuestSlice;
  readonly #driverArea: GuestSlice;
  readonly #deviceArea: GuestSlice;

  /** Per id: descriptors of its buffer in the ring; FREE when nothing is out under it. */
  readonly #slots: Int32Array;
  /** Per id: bytes the device may write. */
  readonly #writableBytes: Float64Array;
  /** Per id: how many buffers were offered before it, free-running. */
  readonly #offeredAt: Uint16Array;
  /** Per id: its indirect table. */
  readonly #tables: (GuestSlice | undefined)[];
  /** Tables for the next use, the last one first: there are as many as buffers were out at once. */
  readonly #spareTables: GuestSlice[] = [];
  readonly #freeIds: Int32Array;
  #freeIdCount: number;
  #freeSlots: number;

  #next = 0;
  #wrap = 1;
  /** Both as of the last `expose`, the wrap counter in bit 15. */
  #exposed = 0x8000;
  #usedNext = 0;
  #usedWrap = 1;
  #outstanding = 0;
  /** In order: the last buffer of the batch that is being handed back, and its bytes. */
  #batchLast = NONE;
  #batchWritten = 0;
  #offered = 0;
  /** Buffers and descriptors that wait for `expose`, and the first of them. */
  #hidden = 0;
  #hiddenSlots = 0;
  #firstAt = 0;
  #firstFlags = 0;
  readonly #scratch = { id: 0, written: 0 };

  /** Takes the memory of its areas from `allocator`. Throws RangeError when there is not enough, and for a size beyond 1 to 32768. */
  constructor(allocator: GuestAllocator, size: number, features: QueueFeatures) {
    if (!Number.isInteger(size) || size < 1 || size > MAX_PACKED_QUEUE_SIZE) {
      throw new RangeError(`a packed queue of ${size} entries; it has 1 to ${MAX_PACKED_QUEUE_SIZE}`);
    }
    this.#allocator = allocator;
    this.#features = features;
    this.#size = size;
    const ringBytes = PackedDescriptor.SIZE * size;
    this.#areas = allocator.allocate(ringBytes + 2 * EventSuppression.SIZE, PACKED_ALIGNMENT.descriptor);
    this.#ring = part(this.#areas, 0, ringBytes);
    this.#driverArea = part(this.#areas, ringBytes, EventSuppression.SIZE);
    this.#deviceArea = part(this.#areas, ringBytes + EventSuppression.SIZE, EventSuppression.SIZE);
    this.layout = {
      size,
      descriptorArea: this.#ring.address,
      driverArea: this.#driverArea.address,
      deviceArea: this.#deviceArea.address,
    };
    this.#slots = new Int32Array(size).fill(FREE);
    this.#writableBytes = new Float64Array(size);
    this.#offeredAt = new Uint16Array(size);
    this.#tables = new Array<GuestSlice | undefined>(size).fill(undefined);
    this.#freeIds = Int32Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#freeIdCount = size;
    this.#freeSlots = size;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  get hidden(): number {
    return this.#hidden;
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
    if (needed > this.#freeSlots) return -1;
    // In order an id is the position of its first descriptor: the oldest buffer is then the one at the used position.
    const id = this.#features.inOrder === true ? this.#next : this.#freeIds[this.#freeIdCount - 1]!;
    if (indirect) this.#writeIndirect(id, buffers);
    else this.#writeDirect(id, buffers);
    if (this.#features.inOrder !== true) this.#freeIdCount--;
    this.#slots[id] = needed;
    this.#writableBytes[id] = buffers.writableBytes;
    this.#offeredAt[id] = this.#offered;
    this.#offered = (this.#offered + 1) & 0xffff;
    this.#freeSlots -= needed;
    this.#outstanding++;
    this.#hidden++;
    return id;
  }

  expose(): boolean {
    const count = this.#hiddenSlots;
    if (count === 0) return false;
    storeRelease(this.#ring.region, this.#firstAt + PackedDescriptor.FLAGS, this.#firstFlags);
    this.#hidden = this.#hiddenSlots = 0;
    this.#exposed = this.#next | (this.#wrap << 15);
    const { region, offset } = this.#deviceArea;
    const flags = loadAcquire(region, offset + EventSuppression.FLAGS);
    if (!this.#features.eventIdx || flags !== EventFlag.DESCRIPTOR) return flags !== EventFlag.DISABLE;
    const event = loadAcquire(region, offset + EventSuppression.POSITION);
    return packedEventPassed(event, this.#next, this.#wrap, count, this.#size);
  }

  collect(): UsedBuffer | undefined {
    const { inOrder } = this.#features;
    const id = inOrder === true ? this.#nextInOrder() : this.#nextUsed();
    if (id === NONE) return undefined;
    const slots = this.#slots[id]!;
    this.#slots[id] = FREE;
    if (inOrder !== true) this.#freeIds[this.#freeIdCount++] = id;
    this.#freeSlots += slots;
    this.#outstanding--;
    this.#spareTable(id);
    this.#usedNext += slots;
    if (this.#usedNext >= this.#size) {
      this.#usedNext -= this.#size;
      this.#usedWrap ^= 1;
    }
    this.#scratch.id = id;
    return this.#scratch;
  }

  arm(): boolean {
    if (this.#batchLast !== NONE) return true;
    // Without EVENT_IDX the structure stays all zero: this driver always wants interrupts.
    if (this.#features.eventIdx) {
      const { region, offset } = this.#driverArea;
      storeRelease(region, offset + EventSuppression.POSITION, this.#usedNext | (this.#usedWrap << 15));
      storeRelease(region, offset + EventSuppression.FLAGS, EventFlag.DESCRIPTOR);
    }
    return this.#look();
  }

  release(): void {
    for (const slice of [this.#areas, ...this.#tables, ...this.#spareTables]) {
      if (slice !== undefined) this.#allocator.release(slice);
    }
  }

  /** The buffer that the next used descriptor names, with its bytes in the scratch object; NONE when there is none. */
  #nextUsed(): number {
    if (!this.#look()) return NONE;
    const at = this.#ring.offset + PackedDescriptor.SIZE * this.#usedNext;
    const { view } = this.#ring.region;
    const id = view.getUint16(at + PackedDescriptor.ID, true);
    const length = view.getUint32(at + PackedDescriptor.LENGTH, true);
    const flags = view.getUint16(at + PackedDescriptor.FLAGS, true);
    if (id >= this.#size || this.#slots[id] === FREE || this.#isHidden(id)) {
      throw new ProtocolError('packed.device.used.id', `the device used buffer ${id}, which it does not have`);
    }
    const writable = this.#writableBytes[id]!;
    // §2.8.4: without WRITE the length means nothing. QEMU never sets WRITE, so one that fits is taken for meant.
    const written = (flags & PackedFlag.WRITE) === 0 && length > writable ? 0 : length;
    if (written > writable) {
      throw new ProtocolError(
        'packed.device.used.length',
        `the device claims to have written ${written} bytes to a buffer of ${writable}`,
      );
    }
    this.#scratch.written = written;
    return id;
  }

  /**
   * The oldest buffer, when it was used (§2.8.8): a used descriptor stands for all buffers up to the one that it names; those
   * before that one were read and written completely.
   */
  #nextInOrder(): number {
    if (this.#batchLast === NONE) {
      const last = this.#nextUsed();
      if (last === NONE) return NONE;
      this.#batchLast = last;
      this.#batchWritten = this.#scratch.written;
    }
    const id = this.#usedNext;
    const isLast = id === this.#batchLast;
    this.#scratch.written = isLast ? this.#batchWritten : this.#writableBytes[id]!;
    if (isLast) this.#batchLast = NONE;
    return id;
  }

  /** Offered, but not shown to the device yet. */
  #isHidden(id: number): boolean {
    return ((this.#offered - 1 - this.#offeredAt[id]!) & 0xffff) < this.#hidden;
  }

  /** Whether the descriptor at the used position is used: both bits as the wrap counter. */
  #look(): boolean {
    const { region, offset } = this.#ring;
    const flags = loadAcquire(region, offset + PackedDescriptor.SIZE * this.#usedNext + PackedDescriptor.FLAGS);
    const available = (flags & PackedFlag.AVAILABLE) !== 0 ? 1 : 0;
    const used = (flags & PackedFlag.USED) !== 0 ? 1 : 0;
    if (available !== this.#usedWrap || used !== this.#usedWrap) return false;
    if (this.#outstanding === this.#hidden) {
      throw new ProtocolError('packed.device.used.id', 'the device used a buffer while none is out');
    }
    return true;
  }

  #spareTable(id: number): void {
    const table = this.#tables[id];
    if (table === undefined) return;
    this.#tables[id] = undefined;
    this.#spareTables.push(table);
  }

  #writeDirect(id: number, buffers: BufferList): void {
    for (let i = 0; i < buffers.count; i++) {
      const last = i === buffers.count - 1;
      const flags = (i >= buffers.readableCount ? PackedFlag.WRITE : 0) | (last ? 0 : PackedFlag.NEXT);
      this.#put(buffers.addresses[i]!, buffers.lengths[i]!, id, flags);
    }
  }

  #writeIndirect(id: number, buffers: BufferList): void {
    const bytes = buffers.count * PackedDescriptor.SIZE;
    let table = this.#spareTables.pop();
    if (table === undefined || table.length < bytes) {
      if (table !== undefined) this.#allocator.release(table);
      table = this.#allocator.allocate(bytes, PACKED_ALIGNMENT.descriptor);
    }
    this.#tables[id] = table;
    for (let i = 0; i < buffers.count; i++) {
      const flags = i >= buffers.readableCount ? PackedFlag.WRITE : 0;
      const at = table.offset + PackedDescriptor.SIZE * i;
      writeDescriptor(table.region.view, at, buffers.addresses[i]!, buffers.lengths[i]!, 0);
      table.region.view.setUint16(at + PackedDescriptor.FLAGS, flags, true);
    }
    this.#put(table.address, bytes, id, PackedFlag.INDIRECT);
  }

  /** Writes the next descriptor of the ring; the flags of the first hidden one are kept back. */
  #put(address: number, length: number, id: number, kind: number): void {
    const at = this.#ring.offset + PackedDescriptor.SIZE * this.#next;
    const { view } = this.#ring.region;
    writeDescriptor(view, at, address, length, id);
    // §2.8.3.1: available is AVAILABLE as the wrap counter and USED the opposite.
    const flags = kind | (this.#wrap === 1 ? PackedFlag.AVAILABLE : PackedFlag.USED);
    if (this.#hiddenSlots === 0) {
      this.#firstAt = at;
      this.#firstFlags = flags;
    } else view.setUint16(at + PackedDescriptor.FLAGS, flags, true);
    this.#hiddenSlots++;
    if (++this.#next === this.#size) {
      this.#next = 0;
      this.#wrap ^= 1;
    }
  }
}

function part({ address, region, offset }: GuestSlice, start: number, length: number): GuestSlice {
  return { address: address + start, length, region, offset: offset + start };
}

function writeDescriptor(view: DataView, at: number, address: number, length: number, id: number): void {
  view.setUint32(at, address >>> 0, true);
  view.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true);
  view.setUint32(at + PackedDescriptor.LENGTH, length, true);
  view.setUint16(at + PackedDescriptor.ID, id, true);
}
