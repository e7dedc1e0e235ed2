import type { GuestMemory, MemoryRegion } from '../memory/guest-memory.ts';

/** What a used ring can say of a buffer's length; it is to be no longer (§2.7.5). */
export const MOST_CHAIN_BYTES = 0xffff_ffff;

/** Chains of closed queues that are still in somebody's hands. */
export interface OrphanCount {
  count: number;
}

/**
 * One buffer that a driver made available: device-readable bytes, then device-writable bytes, however the driver divided
 * them over descriptors (§2.7.4: a device does not depend on the division).
 *
 * A chain belongs to its queue: it is taken from it and handed back once, by `complete` or `giveBack`, after which the
 * object is used again for another buffer. The bytes are the driver's memory; read a field once, check it, use it.
 * Positions count bytes from the start of the part; to go beyond its end is our own mistake and throws RangeError.
 */
export class Chain {
  /** What the used ring calls it: the head descriptor's index (split) or the buffer id (packed). */
  id = 0;
  /** Bytes that the device may read. */
  readableBytes = 0;
  /** Bytes that the device may write. */
  writableBytes = 0;
  /** For queues: where it was taken, and how many descriptors of a packed ring it has. */
  position = 0;
  slots = 1;
  /** For a record of what is taken: where in it the chain is. */
  entry = 0;
  /** For queues: bytes written, once it was completed. */
  written = 0;
  /** Taken, and its memory ours to use. */
  live = false;
  /** Set when its queue was closed while it was taken: the number that it is counted in until it is handed back. */
  orphans: OrphanCount | undefined;

  readonly #memory: GuestMemory;
  // Parallel arrays, not objects: filling them allocates nothing once they have grown.
  readonly #regions: MemoryRegion[] = [];
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];
  #count = 0;
  /** The segment of the last access, and the position of its first byte in the whole buffer. */
  #segment = 0;
  #segmentStart = 0;
  // Where most fields are: the first segment has a request's header, the last one its status.
  #first: MemoryRegion | undefined;
  #firstOffset = 0;
  /** Device-readable bytes of the first segment. */
  #firstBytes = 0;
  #last: MemoryRegion | undefined;
  #lastOffset = 0;
  /** The position of the last segment's first byte among the device-writable bytes. */
  #lastStart = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Its queue was closed: the memory is no longer ours, only the handing back is still due. */
  get orphaned(): boolean {
    return this.orphans !== undefined;
  }

  /** Descriptors that are not empty; for statistics. */
  get segments(): number {
    return this.#count;
  }

  /** For queues: starts a new buffer, which is live once the queue has found it to be sound. */
  clear(id: number): void {
    this.id = id;
    this.readableBytes = 0;
    this.writableBytes = 0;
    this.live = false;
    this.orphans = undefined;
    this.#count = 0;
    this.#segment = this.#segmentStart = 0;
    this.#firstBytes = 0;
  }

  /** For queues: appends a device-readable segment, checked to lie in `region`; comes before any writable one. */
  addReadable(region: MemoryRegion, offset: number, length: number): void {
    if (this.#count === 0) {
      this.#first = region;
      this.#firstOffset = offset;
      this.#firstBytes = length;
    }
    this.#add(region, offset, length);
    this.readableBytes += length;
  }

  /** For queues: appends a device-writable segment, checked to lie in `region`. */
  addWritable(region: MemoryRegion, offset: number, length: number): void {
    this.#last = region;
    this.#lastOffset = offset;
    this.#lastStart = this.writableBytes;
    this.#add(region, offset, length);
    this.writableBytes += length;
  }

  #add(region: MemoryRegion, offset: number, length: number): void {
    const n = this.#count++;
    this.#regions[n] = region;
    this.#offsets[n] = offset;
    this.#lengths[n] = length;
  }

  /** Copies `length` device-readable bytes from `position` to `target`. */
  read(position: number, target: Uint8Array, targetStart: number, length: number): void {
    this.#check(position, length, this.readableBytes, 'device-readable');
    checkRoom(target, targetStart, length);
    for (let done = 0; done < length; ) {
      const within = this.#seek(position + done);
      const n = this.#segment;
      const piece = Math.min(this.#lengths[n]! - within, length - done);
      const from = this.#offsets[n]! + within;
      target.set(this.#regions[n]!.bytes.subarray(from, from + piece), targetStart + done);
      done += piece;
    }
  }

  /** Copies `length` bytes of `source` to device-writable bytes from `position`. */
  write(position: number, source: Uint8Array, sourceStart: number, length: number): void {
    this.#check(position, length, this.writableBytes, 'device-writable');
    checkRoom(source, sourceStart, length);
    for (let done = 0; done < length; ) {
      const within = this.#seek(this.readableBytes + position + done);
      const n = this.#segment;
      const piece = Math.min(this.#lengths[n]! - within, length - done);
      const region = this.#regions[n]!;
      const to = this.#offsets[n]! + within;
      // A whole source needs no view of a part of it: a disk block goes to the driver without an allocation.
      const whole = piece === source.length;
      region.bytes.set(whole ? source : source.subarray(sourceStart + done, sourceStart + done + piece), to);
      this.#memory.onWrite?.(region.address + to, piece);
      done += piece;
    }
  }

  readU8(position: number): number {
    this.#check(position, 1, this.readableBytes, 'device-readable');
    const within = this.#seek(position);
    const n = this.#segment;
    return this.#regions[n]!.bytes[this.#offsets[n]! + within]!;
  }

  readU16(position: number): number {
    const at = this.#fieldOffset(position, 2);
    if (at >= 0) return this.#regions[this.#segment]!.view.getUint16(at, true);
    return this.readU8(position) | (this.readU8(position + 1) << 8);
  }

  readU32(position: number): number {
    if (this.live && position >= 0 && position + 4 <= this.#firstBytes) {
      return this.#first!.view.getUint32(this.#firstOffset + position, true);
    }
    const at = this.#fieldOffset(position, 4);
    if (at >= 0) return this.#regions[this.#segment]!.view.getUint32(at, true);
    return this.readU16(position) + this.readU16(position + 2) * 0x1_0000;
  }

  writeU8(position: number, value: number): void {
    this.#check(position, 1, this.writableBytes, 'device-writable');
    if (position >= this.#lastStart) {
      const at = this.#lastOffset + position - this.#lastStart;
      this.#last!.bytes[at] = value;
      this.#memory.onWrite?.(this.#last!.address + at, 1);
      return;
    }
    const within = this.#seek(this.readableBytes + position);
    const region = this.#regions[this.#segment]!;
    const to = this.#offsets[this.#segment]! + within;
    region.bytes[to] = value;
    this.#memory.onWrite?.(region.address + to, 1);
  }

  /**
   * Goes to the segment of a byte of the whole buffer, and returns the byte's offset in it. Goes on from the last one, as most
   * accesses follow each other: from the start each time, 1 MiB in 256 pages took 55 us instead of 12 (measured).
   */
  #seek(position: number): number {
    if (position < this.#segmentStart) this.#segment = this.#segmentStart = 0;
    let end = this.#segmentStart + this.#lengths[this.#segment]!;
    while (position >= end) {
      this.#segmentStart = end;
      end += this.#lengths[++this.#segment]!;
    }
    return position - this.#segmentStart;
  }

  /** Goes to the segment of a device-readable field: the field's offset in the region, or -1 when the driver cut through it. */
  #fieldOffset(position: number, width: number): number {
    this.#check(position, width, this.readableBytes, 'device-readable');
    const within = this.#seek(position);
    return within + width <= this.#lengths[this.#segment]! ? this.#offsets[this.#segment]! + within : -1;
  }

  #check(position: number, length: number, end: number, part: string): void {
    if (!this.live) throw new RangeError('the buffer was handed back, or its queue was reset');
    if (position < 0 || length < 0 || position + length > end) {
      throw new RangeError(`bytes ${position} to ${position + length} of ${end} ${part} bytes`);
    }
  }
}

function checkRoom(bytes: Uint8Array, start: number, length: number): void {
  if (start < 0 || start + length > bytes.length) {
    throw new RangeError(`bytes ${start} to ${start + length} of an array of ${bytes.length}`);
  }
}
