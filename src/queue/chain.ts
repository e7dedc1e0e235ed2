import type { GuestMemory, MemoryRegion } from '../memory/guest-memory.ts';

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
  #readableCount = 0;

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
    this.#readableCount = 0;
  }

  /** For queues: appends a device-readable segment, checked to lie in `region`; comes before any writable one. */
  addReadable(region: MemoryRegion, offset: number, length: number): void {
    this.#add(region, offset, length);
    this.readableBytes += length;
    this.#readableCount = this.#count;
  }

  /** For queues: appends a device-writable segment, checked to lie in `region`. */
  addWritable(region: MemoryRegion, offset: number, length: number): void {
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
    let skip = position;
    let done = 0;
    for (let n = 0; done < length; n++) {
      const size = this.#lengths[n]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const piece = Math.min(size - skip, length - done);
      const from = this.#offsets[n]! + skip;
      target.set(this.#regions[n]!.bytes.subarray(from, from + piece), targetStart + done);
      done += piece;
      skip = 0;
    }
  }

  /** Copies `length` bytes of `source` to device-writable bytes from `position`. */
  write(position: number, source: Uint8Array, sourceStart: number, length: number): void {
    this.#check(position, length, this.writableBytes, 'device-writable');
    checkRoom(source, sourceStart, length);
    let skip = position;
    let done = 0;
    for (let n = this.#readableCount; done < length; n++) {
      const size = this.#lengths[n]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const piece = Math.min(size - skip, length - done);
      const region = this.#regions[n]!;
      const to = this.#offsets[n]! + skip;
      // A whole source needs no view of a part of it: a disk page goes to the driver without an allocation.
      const whole = piece === source.length;
      region.bytes.set(whole ? source : source.subarray(sourceStart + done, sourceStart + done + piece), to);
      this.#memory.onWrite?.(region.address + to, piece);
      done += piece;
      skip = 0;
    }
  }

  readU8(position: number): number {
    this.#check(position, 1, this.readableBytes, 'device-readable');
    const n = this.#seek(0, position);
    return this.#regions[n]!.bytes[this.#offsets[n]! + this.#within]!;
  }

  readU16(position: number): number {
    const n = this.#readFast(position, 2);
    if (n >= 0) return this.#regions[n]!.view.getUint16(this.#offsets[n]! + this.#within, true);
    return this.readU8(position) | (this.readU8(position + 1) << 8);
  }

  readU32(position: number): number {
    const n = this.#readFast(position, 4);
    if (n >= 0) return this.#regions[n]!.view.getUint32(this.#offsets[n]! + this.#within, true);
    return this.readU16(position) + this.readU16(position + 2) * 0x1_0000;
  }

  writeU8(position: number, value: number): void {
    this.#check(position, 1, this.writableBytes, 'device-writable');
    const n = this.#seek(this.#readableCount, position);
    const region = this.#regions[n]!;
    const to = this.#offsets[n]! + this.#within;
    region.bytes[to] = value;
    this.#memory.onWrite?.(region.address + to, 1);
  }

  /** Offset in the segment that `#seek` found. */
  #within = 0;

  #seek(first: number, position: number): number {
    let n = first;
    let rest = position;
    while (rest >= this.#lengths[n]!) rest -= this.#lengths[n++]!;
    this.#within = rest;
    return n;
  }

  /** The segment that holds all of a field, or -1 when the driver cut through it. */
  #readFast(position: number, width: number): number {
    this.#check(position, width, this.readableBytes, 'device-readable');
    const n = this.#seek(0, position);
    return this.#within + width <= this.#lengths[n]! ? n : -1;
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
