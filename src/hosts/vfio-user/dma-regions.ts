import { fstatSync } from 'node:fs';
import type { GuestMemory, MemoryRegion } from '../../memory/guest-memory.ts';
import { type FilePiece, PAGE_BYTES } from '../../unix/arena.ts';
import { partsOf, type RangePart, type Window, windows } from '../../unix/windows.ts';
import { DmaFlag, Errno, type Request } from './messages.ts';
import { Refusal } from './refusal.ts';

/** Regions that a client can have at a time. Each costs the process one of the mappings that the system lets it have. */
export const MOST_DMA_REGIONS = 4096;

/** All that a client can have mapped; virtual machines of today have less. */
const MOST_MAPPED_BYTES = 2 ** 41;

/** Where a region is in the client's memory. */
interface Place {
  readonly address: number;
  readonly size: number;
}

interface DmaRegion extends Place {
  /** What is seen of it; see `partsOf`. Empty for a region that came without a descriptor: the device cannot reach it. */
  readonly pieces: readonly Piece[];
}

interface Piece {
  readonly window: Window;
  readonly region: MemoryRegion;
}

/** The memory that a client lets the device access: its regions, mapped, as the guest memory of the device. */
export class DmaRegions {
  readonly #memory: GuestMemory;
  readonly #inFlight: () => number;
  readonly #regions: DmaRegion[] = [];
  /** Windows of regions that are gone, which requests in flight may still write to. */
  readonly #waiting: Window[] = [];

  /** `memory` has no regions but those of the client; `inFlight` says how many requests the device still has in hand. */
  constructor(memory: GuestMemory, inFlight: () => number) {
    this.#memory = memory;
    this.#inFlight = inFlight;
  }

  get count(): number {
    return this.#regions.length;
  }

  /** Bytes of the regions that the device can reach. */
  get mappedBytes(): number {
    return this.#regions.reduce((sum, { size, pieces }) => sum + (pieces.length === 0 ? 0 : size), 0);
  }

  /** Adds a region; the descriptor stays the caller's. Throws Refusal, and TransportError when it cannot be mapped. */
  map({ flags, offset, address, size }: Omit<Request<'dmaMap'>, 'argsz'>, fds: readonly number[]): void {
    const end = address + size;
    if (size === 0 || !Number.isSafeInteger(address) || !Number.isSafeInteger(end) || !isPages(address, size)) {
      throw new Refusal(Errno.EINVAL, `${size} bytes at 0x${address.toString(16)} are no pages of memory`);
    }
    if ((flags & ~(DmaFlag.READ | DmaFlag.WRITE)) !== 0 || (flags & DmaFlag.READ) === 0 || fds.length > 1) {
      throw new Refusal(Errno.EINVAL, `a region is not mapped with flags ${flags} and ${fds.length} descriptors`);
    }
    if (this.#regions.some((region) => address < region.address + region.size && region.address < end)) {
      throw new Refusal(Errno.EEXIST, `a region at 0x${address.toString(16)} is there already`);
    }
    if (this.#regions.length === MOST_DMA_REGIONS) {
      throw new Refusal(Errno.ENOSPC, `there are ${MOST_DMA_REGIONS} regions already`);
    }
    const [fd] = fds;
    const writable = (flags & DmaFlag.WRITE) !== 0;
    const pieces = fd === undefined ? [] : this.#map(address, { fd, fdOffset: offset, length: size, writable });
    this.#regions.push({ address, size, pieces });
  }

  /** Whether there is a region of just this place, and the device can reach it. */
  isReachable(place: Place): boolean {
    return (this.#regions[this.#find(place)]?.pieces.length ?? 0) > 0;
  }

  /** Takes a region away, as it was mapped. What is still in flight may go on writing there, to no effect. Throws Refusal. */
  unmap(place: Place): void {
    const at = this.#find(place);
    const { address, size } = place;
    if (at < 0) throw new Refusal(Errno.ENOENT, `there is no region of ${size} bytes at 0x${address.toString(16)}`);
    const [region] = this.#regions.splice(at, 1);
    this.#unmap(region!.pieces);
  }

  unmapAll(): void {
    for (const { pieces } of this.#regions.splice(0)) this.#unmap(pieces);
  }

  #find({ address, size }: Place): number {
    return this.#regions.findIndex((region) => region.address === address && region.size === size);
  }

  #map(address: number, file: FilePiece): Piece[] {
    const { fd, fdOffset, length } = file;
    if (!Number.isSafeInteger(fdOffset) || fdOffset % PAGE_BYTES !== 0) {
      throw new Refusal(Errno.EINVAL, `${length} bytes at ${fdOffset} of a file cannot be mapped`);
    }
    if (this.mappedBytes + length > MOST_MAPPED_BYTES) {
      throw new Refusal(Errno.ENOSPC, `${length} bytes are more than can be mapped`);
    }
    if (!fstatSync(fd).isFile()) throw new Refusal(Errno.EINVAL, 'what is to be mapped is no file');
    this.#release();
    const pieces: Piece[] = [];
    try {
      for (const part of partsOf(address, length)) {
        pieces.push(this.#mapPart(part, { ...file, fdOffset: fdOffset + part.address - address, length: part.length }));
      }
    } catch (error) {
      this.#unmap(pieces);
      throw error;
    }
    return pieces;
  }

  #mapPart({ kind, address }: RangePart, piece: FilePiece): Piece {
    const window = windows.take(piece.length);
    try {
      window.arena.map(window.offset, piece);
    } catch (error) {
      windows.giveBack(window);
      throw error;
    }
    const bytes = new Uint8Array(window.arena.buffer, window.offset, window.length);
    if (kind === 'seam') return { window, region: this.#memory.addSeam(address, bytes, { shared: true }) };
    return { window, region: this.#memory.add(address, bytes, { shared: true }) };
  }

  #unmap(pieces: readonly Piece[]): void {
    for (const { window, region } of pieces) {
      this.#memory.remove(region);
      window.arena.unmap(window.offset, window.length);
      this.#waiting.push(window);
    }
    this.#release();
  }

  /** A window is used again only when nobody can write to it for a region that is gone. */
  #release(): void {
    if (this.#inFlight() > 0) return;
    for (const window of this.#waiting.splice(0)) windows.giveBack(window);
  }
}

function isPages(address: number, size: number): boolean {
  return address % PAGE_BYTES === 0 && size % PAGE_BYTES === 0;
}
