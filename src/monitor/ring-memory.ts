import type { MemoryAccess, QueueEnable } from './trace.ts';

/** Memory by guest-physical address, little-endian. */
export interface RingBytes {
  u16(address: number): number;
  u32(address: number): number;
}

/** The memory of a queue's areas as far as a trace has shown it, by guest-physical address; 0 where it has not. */
export class RingMemory implements RingBytes {
  readonly #bytes = new Map<number, number>();

  write(address: number, bytes: string): void {
    for (let at = 0; at < bytes.length; at += 2) {
      this.#bytes.set(address + at / 2, Number.parseInt(bytes.slice(at, at + 2), 16));
    }
  }

  /** What was there is of no interest any more. */
  forget(address: number, length: number): void {
    for (let at = 0; at < length; at++) this.#bytes.delete(address + at);
  }

  u8(address: number): number {
    return this.#bytes.get(address) ?? 0;
  }

  u16(address: number): number {
    return this.u8(address) + this.u8(address + 1) * 0x100;
  }

  u32(address: number): number {
    return this.u16(address) + this.u16(address + 2) * 0x1_0000;
  }
}

/** Bytes of a trace, from address 0 on; 0 behind their end. */
export class HexBytes implements RingBytes {
  readonly #hex: string;

  constructor(hex: string) {
    this.#hex = hex;
  }

  get length(): number {
    return this.#hex.length / 2;
  }

  u8(address: number): number {
    return Number.parseInt(this.#hex.slice(2 * address, 2 * address + 2) || '0', 16);
  }

  u16(address: number): number {
    return this.u8(address) + this.u8(address + 1) * 0x100;
  }

  u32(address: number): number {
    return this.u16(address) + this.u16(address + 2) * 0x1_0000;
  }

  /** The bytes from an address on. */
  from(address: number): HexBytes {
    return new HexBytes(this.#hex.slice(2 * address));
  }

  /** As a double: exact up to 2^53. */
  u64(address: number): number {
    return this.u32(address) + this.u32(address + 4) * 0x1_0000_0000;
  }
}

/** Where a queue is; all of it is known. */
export interface QueuePlace {
  readonly queue: number;
  readonly size: number;
  readonly descriptor: number;
  readonly driver: number;
  readonly device: number;
}

export function placeOf({ queue, size, descriptor, driver, device }: QueueEnable): QueuePlace | undefined {
  if (size === undefined || size === 0) return undefined;
  if (descriptor === undefined || driver === undefined || device === undefined) return undefined;
  return { queue, size, descriptor, driver, device };
}

/** The 16 bits at an address after a write to either of their bytes: a recorder may show only those that have changed. */
export function u16Written(
  before: RingMemory,
  { address, access, bytes }: MemoryAccess,
  at: number,
): number | undefined {
  if (access !== 'write' || bytes === undefined) return undefined;
  if (at + 2 <= address || at >= address + bytes.length / 2) return undefined;
  const byte = (here: number): number => {
    const written = bytes.slice(2 * (here - address), 2 * (here - address) + 2);
    return here < address || written === '' ? before.u8(here) : Number.parseInt(written, 16);
  };
  return byte(at) + byte(at + 1) * 0x100;
}
