import type { GuestAddress, GuestMemory } from '../memory/guest-memory.ts';
import { ProtocolError } from '../spec/fault.ts';
import type { Chain } from './chain.ts';

/**
 * Adds a buffer that no single region holds to a chain: one segment for each of the regions that it goes through. Regions may touch
 * each other where a host has them in several files, or cannot see all of them through one view; the driver does not know.
 * Throws ProtocolError with `rule` when some byte is in none.
 */
export function addPieces(
  memory: GuestMemory,
  chain: Chain,
  address: GuestAddress,
  bytes: number,
  writable: boolean,
  rule: string,
): void {
  const end = address + bytes;
  let at = address;
  do {
    const region = memory.find(at, 1);
    if (region === undefined) {
      throw new ProtocolError(rule, `a buffer: ${bytes} bytes at 0x${address.toString(16)} are not in guest memory`);
    }
    const length = Math.min(end, region.address + region.size) - at;
    if (writable) chain.addWritable(region, at - region.address, length);
    else chain.addReadable(region, at - region.address, length);
    at += length;
  } while (at < end);
}
