import koffi from 'koffi';
import { type Address, callError, checked, libc } from './libc.ts';

export const Protection = { NONE: 0, READ_WRITE: 3 } as const;
export const MapFlag = { SHARED: 1, PRIVATE: 2, FIXED: 0x10, ANONYMOUS: 0x20, NORESERVE: 0x4000 } as const;

/** What mmap returns when it fails: -1. */
const MAP_FAILED = 2n ** 64n - 1n;

/** What to map, and where: an address that is replaced, or null for any. */
export interface Mapping {
  readonly address: Address | null;
  readonly length: number;
  readonly protection: number;
  readonly flags: number;
  /** -1 for memory without a file. */
  readonly fd: number;
  readonly fdOffset: number;
}

/** Maps memory; the address of it. Throws TransportError. */
export function map(mapping: Mapping, what: string): Address {
  const { address, length, protection, flags, fd, fdOffset } = mapping;
  const mapped = libc().mmap(address, length, protection, flags, fd, fdOffset);
  if (mapped === MAP_FAILED) throw callError('mmap', what);
  return mapped;
}

/**
 * A piece of memory that does not move, at the beginning of a page: for structures that have addresses in them, and for what the
 * system reads from a medium by itself. It lives as long as the process, or until `release`.
 */
export class FixedMemory {
  readonly address: Address;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(length: number) {
    const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS;
    const mapping = { address: null, length, protection: Protection.READ_WRITE, flags, fd: -1, fdOffset: 0 };
    this.address = map(mapping, `${length} bytes of memory`);
    const buffer = koffi.view(this.address, length);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Gives the memory back. Whoever touches it then ends the process, so let no view of it be in use. */
  release(): void {
    checked(libc().munmap(this.address, this.bytes.length), 'munmap', 'a piece of memory');
  }
}
