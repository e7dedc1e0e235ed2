import { ProtocolError } from '../spec/fault.ts';

/** A guest-physical address that fits a double exactly: at most 2^53 - 1. */
export type GuestAddress = number;

/**
 * One contiguous piece of guest memory. `bytes`, `view` and `words` show the same memory; they are replaced together by
 * `GuestMemory.replace`, so read them from the region each time instead of keeping them.
 */
export interface MemoryRegion {
  /** First guest-physical address. */
  readonly address: GuestAddress;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** 16-bit words for `Atomics`; guest-physical word n of the region is `words[n]`. */
  readonly words: Uint16Array;
  /** Another thread, or another process, may have it, too. */
  readonly shared: boolean;
}

type MutableRegion = { -readonly [K in keyof MemoryRegion]: MemoryRegion[K] };

/**
 * The driver's memory as a device sees it: guest-physical addresses to bytes.
 *
 * The memory belongs to the driver's side, which may rewrite it at any time: read a field once into a local, check it,
 * then use it. Regions do not overlap. Ring indices are read and written with `loadAcquire` and `storeRelease`.
 */
export class GuestMemory {
  readonly #regions: MutableRegion[] = [];
  readonly #seams: MutableRegion[] = [];
  #last: MutableRegion | undefined;
  #generation = 0;

  /**
   * Called with the address and length of every range that a device has written, after the write. A host that caches
   * guest code by page drops those pages here.
   */
  onWrite: ((address: GuestAddress, length: number) => void) | undefined;

  /** Memory of one region that starts at guest-physical address 0. */
  static over(bytes: Uint8Array): GuestMemory {
    const memory = new GuestMemory();
    memory.add(0, bytes);
    return memory;
  }

  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /** Changes whenever a region came, went or was replaced: what was located before is located again then. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Adds a region. The caller keeps owning `bytes`, whose offset in its buffer is even. Those of a SharedArrayBuffer are shared
   * anyway; of those in an ArrayBuffer that another process has mapped the caller says so.
   * Throws RangeError when it overlaps another region or is not addressable.
   */
  add(address: GuestAddress, bytes: Uint8Array, options: { readonly shared?: boolean } = {}): MemoryRegion {
    const end = address + bytes.length;
    if (!Number.isSafeInteger(address) || address < 0 || !Number.isSafeInteger(end) || address % 2 !== 0) {
      throw new RangeError(`a region at ${address} of ${bytes.length} bytes is not addressable`);
    }
    if (this.#regions.some((r) => address < r.address + r.size && r.address < end)) {
      throw new RangeError(`a region at ${address} of ${bytes.length} bytes overlaps another one`);
    }
    const shared = options.shared ?? false;
    const region: MutableRegion = { address, size: bytes.length, ...windows(bytes, shared) };
    this.#regions.push(region);
    this.#changed();
    return region;
  }

  /**
   * Shows bytes of regions that touch each other once more: what lies in two of them is found here, as it is in one piece. For
   * hosts whose views are shorter than the guest's memory. It is not one of `regions`; `remove` takes it away.
   */
  addSeam(address: GuestAddress, bytes: Uint8Array, options: { readonly shared?: boolean } = {}): MemoryRegion {
    const seam: MutableRegion = { address, size: bytes.length, ...windows(bytes, options.shared ?? false) };
    this.#seams.push(seam);
    this.#changed();
    return seam;
  }

  remove(region: MemoryRegion): void {
    const list = this.#seams.includes(region as MutableRegion) ? this.#seams : this.#regions;
    const index = list.indexOf(region as MutableRegion);
    if (index < 0) throw new RangeError('this region is not part of the memory');
    list.splice(index, 1);
    this.#changed();
  }

  /** Puts other bytes of the same length behind a region, as after WebAssembly memory has grown; shared if those before were. */
  replace(region: MemoryRegion, bytes: Uint8Array): void {
    const index = this.#regions.indexOf(region as MutableRegion);
    if (index < 0) throw new RangeError('this region is not part of the memory');
    if (bytes.length !== region.size) throw new RangeError(`a region of ${region.size} bytes is given ${bytes.length}`);
    Object.assign(this.#regions[index]!, windows(bytes, region.shared));
    this.#changed();
  }

  /** The region that holds all of `length` bytes at `address`, or undefined. Offset in it: `address - region.address`. */
  find(address: GuestAddress, length: number): MemoryRegion | undefined {
    const last = this.#last;
    if (last !== undefined) {
      const offset = address - last.address;
      if (offset >= 0 && offset + length <= last.size) return last;
    }
    for (const region of this.#regions) {
      if (address >= region.address && address + length <= region.address + region.size) {
        this.#last = region;
        return region;
      }
    }
    return this.#seams.find((seam) => address >= seam.address && address + length <= seam.address + seam.size);
  }

  /** As `find`; throws ProtocolError with `rule` when some byte is outside the memory. `what` names the range in the message. */
  locate(address: GuestAddress, length: number, rule: string, what: string): MemoryRegion {
    const region = this.find(address, length);
    if (region === undefined) {
      throw new ProtocolError(rule, `${what}: ${length} bytes at 0x${address.toString(16)} are not in guest memory`);
    }
    return region;
  }

  /**
   * As `locate`, but a region of just these bytes, so that positions in it are small: for rings, which are looked at all the
   * time. `address` is even. It is to be asked for again when `generation` has changed.
   */
  area(address: GuestAddress, length: number, rule: string, what: string): MemoryRegion {
    const region = this.locate(address, length, rule, what);
    const start = address - region.address;
    return { address, size: length, ...windows(region.bytes.subarray(start, start + length), region.shared) };
  }

  #changed(): void {
    this.#last = undefined;
    this.#generation++;
  }
}

function windows(bytes: Uint8Array, shared: boolean): Pick<MemoryRegion, 'bytes' | 'view' | 'words' | 'shared'> {
  if (bytes.byteOffset % 2 !== 0) throw new RangeError('the bytes of a region start at an odd offset of their buffer');
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    // Not by a shift: a region of 4 GiB has more bytes than 32 bits can say.
    words: new Uint16Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 2)),
    shared: shared || !(bytes.buffer instanceof ArrayBuffer),
  };
}

/**
 * A u64 in two u32 halves as a number. Beyond 2^53 the result is not exact, but is still larger than any region's end,
 * so that it is never found in memory.
 */
export function joinU64(low: number, high: number): number {
  // Small integers stay small integers: as a product they would be doubles, boxed at every step (52 bytes a request, measured).
  return high === 0 ? low : high * 0x1_0000_0000 + low;
}
