import type { GuestAddress, GuestMemory, MemoryRegion } from '../../memory/guest-memory.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { PAGE_BYTES, wholePages } from '../../unix/arena.ts';
import type { Place, Windows } from './windows.ts';

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
  readonly place: Place;
  readonly region: MemoryRegion;
}

/**
 * The memory that a front-end shares: files that are mapped here, at addresses of the guest. It changes only while the device is
 * at rest, which is the caller's to see to. Descriptors stay the caller's. What makes no sense throws ProtocolError and changes
 * nothing.
 */
export class FrontEndMemory {
  readonly memory: GuestMemory;
  readonly mostRegions: number;
  readonly windows: Windows;
  #regions: MappedRegion[] = [];

  constructor(memory: GuestMemory, windows: Windows, mostRegions: number) {
    this.memory = memory;
    this.windows = windows;
    this.mostRegions = mostRegions;
  }

  /** How many regions and bytes there are. */
  get extent(): { readonly regions: number; readonly bytes: number } {
    return { regions: this.#regions.length, bytes: this.#regions.reduce((sum, { size }) => sum + size, 0) };
  }

  /** Puts these regions, each with its descriptor, in place of all that there are. */
  replace(descriptions: readonly RegionDescription[], fds: readonly number[]): void {
    check(descriptions, this.mostRegions);
    const places: Place[] = [];
    try {
      for (const [n, description] of descriptions.entries()) places.push(this.#map(description, fds[n]!));
    } catch (error) {
      for (const place of places) this.windows.release(place);
      throw error;
    }
    this.clear();
    for (const [n, description] of descriptions.entries()) this.#add(description, places[n]!);
  }

  add(description: RegionDescription, fd: number): void {
    check([...this.#regions, description], this.mostRegions);
    this.#add(description, this.#map(description, fd));
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

  #map({ size, fileOffset }: RegionDescription, fd: number): Place {
    const place = this.windows.allocate(wholePages(size));
    try {
      place.arena.map(place.offset, { fd, fdOffset: fileOffset, length: size, writable: true });
    } catch (error) {
      this.windows.release(place);
      throw error;
    }
    return place;
  }

  #add(description: RegionDescription, place: Place): void {
    const bytes = new Uint8Array(place.arena.buffer, place.offset, description.size);
    const region = this.memory.add(description.guestAddress, bytes, { shared: true });
    this.#regions.push({ ...description, place, region });
  }

  #remove(mapped: MappedRegion): void {
    this.#regions = this.#regions.filter((region) => region !== mapped);
    this.memory.remove(mapped.region);
    this.windows.release(mapped.place);
  }
}

function check(descriptions: readonly RegionDescription[], most: number): void {
  if (descriptions.length > most) {
    throw new ProtocolError(
      'vhost.frontend.memory.count',
      `${descriptions.length} regions of memory; at most ${most} can be`,
    );
  }
  for (const [n, { guestAddress, userAddress, size, fileOffset }] of descriptions.entries()) {
    const end = Math.max(guestAddress, userAddress, fileOffset) + size;
    const isPages = guestAddress % PAGE_BYTES === 0 && fileOffset % PAGE_BYTES === 0;
    if (!Number.isSafeInteger(end) || !isPages || size === 0 || size > MOST_REGION_BYTES) {
      throw new ProtocolError(
        'vhost.frontend.memory.region',
        `a region of ${size} bytes at 0x${guestAddress.toString(16)} is empty, too large or not at a page`,
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

const MOST_REGION_BYTES = 2 ** 32;
