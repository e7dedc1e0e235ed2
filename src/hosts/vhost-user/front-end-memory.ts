import type { GuestAddress, GuestMemory, MemoryRegion } from '../../memory/guest-memory.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { PAGE_BYTES, wholePages } from '../../unix/arena.ts';
import { partsOf, type RangePart, type Window, windows } from '../../unix/windows.ts';

/** A piece of the guest's memory as the front-end describes it. */
export interface RegionDescription {
  readonly guestAddress: GuestAddress;
  readonly size: number;
  /** Where the front-end itself has it: rings are named by such addresses. */
  readonly userAddress: number;
  /** Where it starts in the file that came with it. */
  readonly fileOffset: number;
}

interface MappedRegion extends RegionDescription {
  readonly pieces: readonly Piece[];
  readonly regions: readonly MemoryRegion[];
}

/** A part of a region that one view shows; see `partsOf`. */
interface Piece extends RangePart {
  readonly window: Window;
}

/** All that a front-end can share; virtual machines of today have less. */
const MOST_BYTES = 2 ** 41;

/**
 * The memory that a front-end shares: files that are mapped here, at addresses of the guest. It changes only while the device is
 * at rest, which is the caller's to see to. Descriptors stay the caller's. What makes no sense throws ProtocolError and changes
 * nothing.
 */
export class FrontEndMemory {
  readonly memory: GuestMemory;
  readonly mostRegions: number;
  #regions: MappedRegion[] = [];

  constructor(memory: GuestMemory, mostRegions: number) {
    this.memory = memory;
    this.mostRegions = mostRegions;
  }

  /** How many regions and bytes there are. */
  get extent(): { readonly regions: number; readonly bytes: number } {
    return { regions: this.#regions.length, bytes: this.#regions.reduce((sum, { size }) => sum + size, 0) };
  }

  /** Puts these regions, each with its descriptor, in place of all that there are. */
  replace(descriptions: readonly RegionDescription[], fds: readonly number[]): void {
    check(descriptions, this.mostRegions);
    const mapped: (readonly Piece[])[] = [];
    try {
      for (const [n, description] of descriptions.entries()) mapped.push(map(description, fds[n]!));
    } catch (error) {
      for (const pieces of mapped) release(pieces);
      throw error;
    }
    this.clear();
    for (const [n, description] of descriptions.entries()) this.#add(description, mapped[n]!);
  }

  add(description: RegionDescription, fd: number): void {
    check([...this.#regions, description], this.mostRegions);
    this.#add(description, map(description, fd));
  }

  /** Removes the region that has these addresses and this size. */
  remove({ guestAddress, size, userAddress }: RegionDescription): void {
    const found = this.#regions.find((region) => {
      return region.guestAddress === guestAddress && region.size === size && region.userAddress === userAddress;
    });
    if (found === undefined) {
      throw new ProtocolError(
        'vhost.frontend.memory.known',
        `there is no region at 0x${guestAddress.toString(16)} to remove`,
      );
    }
    this.#remove(found);
  }

  clear(): void {
    for (const region of [...this.#regions]) this.#remove(region);
  }

  /** The guest's address of what the front-end has at `userAddress`. */
  toGuest(userAddress: number, what: string): GuestAddress {
    for (const region of this.#regions) {
      const offset = userAddress - region.userAddress;
      if (offset >= 0 && offset < region.size) return region.guestAddress + offset;
    }
    throw new ProtocolError(
      'vhost.frontend.vring.address',
      `${what} at 0x${userAddress.toString(16)} is in no region of memory`,
    );
  }

  #add(description: RegionDescription, pieces: readonly Piece[]): void {
    const regions = pieces.map(({ kind, address, length, window }) => {
      const bytes = new Uint8Array(window.arena.buffer, window.offset, length);
      if (kind === 'seam') return this.memory.addSeam(address, bytes, { shared: true });
      return this.memory.add(address, bytes, { shared: true });
    });
    this.#regions.push({ ...description, pieces, regions });
  }

  #remove(mapped: MappedRegion): void {
    this.#regions = this.#regions.filter((region) => region !== mapped);
    for (const region of mapped.regions) this.memory.remove(region);
    release(mapped.pieces);
  }
}

function map({ guestAddress, size, fileOffset }: RegionDescription, fd: number): Piece[] {
  const pieces: Piece[] = [];
  try {
    for (const part of partsOf(guestAddress, size)) {
      const window = windows.take(wholePages(part.length));
      pieces.push({ ...part, window });
      const fdOffset = fileOffset + part.address - guestAddress;
      window.arena.map(window.offset, { fd, fdOffset, length: part.length, writable: true });
    }
  } catch (error) {
    release(pieces);
    throw error;
  }
  return pieces;
}

function release(pieces: readonly Piece[]): void {
  for (const { window } of pieces) windows.release(window);
}

function check(descriptions: readonly RegionDescription[], most: number): void {
  const bytes = descriptions.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MOST_BYTES) throw new ProtocolError('vhost.frontend.memory.count', `${bytes} bytes of memory`);
  if (descriptions.length > most) {
    throw new ProtocolError(
      'vhost.frontend.memory.count',
      `${descriptions.length} regions of memory; at most ${most} can be`,
    );
  }
  for (const [n, { guestAddress, userAddress, size, fileOffset }] of descriptions.entries()) {
    const end = Math.max(guestAddress, userAddress, fileOffset) + size;
    const isPages = guestAddress % PAGE_BYTES === 0 && fileOffset % PAGE_BYTES === 0;
    if (!Number.isSafeInteger(end) || !isPages || size === 0) {
      throw new ProtocolError(
        'vhost.frontend.memory.region',
        `a region of ${size} bytes at 0x${guestAddress.toString(16)} is empty, or not at a page`,
      );
    }
    const overlapped = descriptions.slice(0, n).some((other) => {
      return guestAddress < other.guestAddress + other.size && other.guestAddress < guestAddress + size;
    });
    if (overlapped) {
      throw new ProtocolError('vhost.frontend.memory.overlap', `two regions overlap at 0x${guestAddress.toString(16)}`);
    }
  }
}
