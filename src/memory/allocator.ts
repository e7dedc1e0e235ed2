import type { GuestAddress, GuestMemory, MemoryRegion } from './guest-memory.ts';

/** A piece of memory that a driver owns and shows to its device. */
export interface GuestSlice {
  readonly address: GuestAddress;
  readonly length: number;
  readonly region: MemoryRegion;
  /** Offset of the slice in `region.bytes`. */
  readonly offset: number;
}

/**
 * Hands out guest memory to a driver: first fit over a sorted list of free ranges. For set-up, not for each request:
 * drivers keep pools.
 */
export class GuestAllocator {
  readonly #memory: GuestMemory;
  readonly #free: { address: number; length: number }[];

  /** Owns `length` bytes of `memory` from `address` on. */
  constructor(memory: GuestMemory, address: GuestAddress, length: number) {
    if (memory.find(address, length) === undefined)
      throw new RangeError('the range to allocate from is not in guest memory');
    this.#memory = memory;
    this.#free = [{ address, length }];
  }

  get freeBytes(): number {
    return this.#free.reduce((sum, range) => sum + range.length, 0);
  }

  /** Zeroed memory; `alignment` is a power of two. Throws RangeError when there is none left. */
  allocate(length: number, alignment = 16): GuestSlice {
    if (!Number.isSafeInteger(length) || length < 1 || !(alignment >= 1) || !Number.isInteger(Math.log2(alignment))) {
      throw new RangeError(`${length} bytes aligned to ${alignment} cannot be allocated`);
    }
    for (let i = 0; i < this.#free.length; i++) {
      const range = this.#free[i]!;
      const address = Math.ceil(range.address / alignment) * alignment;
      const padding = address - range.address;
      if (padding + length > range.length) continue;
      const rest = { address: address + length, length: range.length - padding - length };
      const pieces = [{ address: range.address, length: padding }, rest].filter((piece) => piece.length > 0);
      this.#free.splice(i, 1, ...pieces);
      const region = this.#memory.find(address, length)!;
      const offset = address - region.address;
      region.bytes.fill(0, offset, offset + length);
      return { address, length, region, offset };
    }
    throw new RangeError(`no ${length} bytes of guest memory left (${this.freeBytes} free, in pieces)`);
  }

  /** Takes a slice back. The caller no longer uses it, nor does a device. Throws RangeError when it is free already. */
  release({ address, length }: GuestSlice): void {
    const index = this.#free.findIndex((range) => range.address > address);
    const at = index < 0 ? this.#free.length : index;
    const before = this.#free[at - 1];
    const after = this.#free[at];
    const end = address + length;
    if (
      (before !== undefined && before.address + before.length > address) ||
      (after !== undefined && end > after.address)
    ) {
      throw new RangeError('this slice was released before');
    }
    const joinsBefore = before !== undefined && before.address + before.length === address;
    const joinsAfter = after?.address === end;
    if (joinsBefore) before.length += length + (joinsAfter ? after.length : 0);
    else if (joinsAfter) {
      after.address = address;
      after.length += length;
    } else this.#free.splice(at, 0, { address, length });
    if (joinsBefore && joinsAfter) this.#free.splice(at, 1);
  }
}
