import { type DiskTopology, defaultTopology } from '../devices/block/disk.ts';

/** The unit of a capacity (§5.2.4). */
export const sectorBytes = 512;

/** The largest capacity whose every byte position is an exact number. */
const maximumSectors = Math.floor(Number.MAX_SAFE_INTEGER / sectorBytes);

/** What every disk of this folder lets its maker choose. */
export interface DiskOptions {
  /** False unless given. */
  readonly readOnly?: boolean;
  /** Up to 20 printable ASCII characters, what the driver reads with GET_ID (§5.2.6). */
  readonly identity?: string;
  /** Members that are not given are those of a disk with 512-byte blocks and no hints. */
  readonly topology?: Partial<DiskTopology>;
}

/** Returns the capacity. Throws RangeError when no disk can have it. */
export function checkCapacity(capacitySectors: number): number {
  if (!Number.isInteger(capacitySectors) || capacitySectors < 1 || capacitySectors > maximumSectors) {
    throw new RangeError(
      `A disk cannot have ${capacitySectors} sectors: give a whole number of 512-byte sectors from 1 to ${maximumSectors}`,
    );
  }
  return capacitySectors;
}

/** Returns the identity. Throws RangeError when GET_ID could not carry it. */
export function checkIdentity(identity: string): string {
  if (!/^[\x20-\x7e]{0,20}$/.test(identity)) {
    throw new RangeError(
      `The disk identity ${JSON.stringify(identity)} does not fit: give at most 20 printable ASCII characters`,
    );
  }
  return identity;
}

/** `hints` over `fallback`. Throws RangeError, naming the member, when the configuration space cannot carry it (§5.2.4). */
export function checkTopology(
  hints: Partial<DiskTopology> | undefined,
  fallback: DiskTopology = defaultTopology,
): DiskTopology {
  const topology = { ...fallback, ...hints };
  checkRange('blockSize', topology.blockSize, 512, 2 ** 31);
  if (!Number.isInteger(Math.log2(topology.blockSize))) {
    throw new RangeError(`The topology's blockSize is ${topology.blockSize}: give 512 or a larger power of two`);
  }
  checkRange('physicalBlockExponent', topology.physicalBlockExponent, 0, 0xff);
  checkRange('alignmentOffset', topology.alignmentOffset, 0, 0xff);
  checkRange('minimumBlocks', topology.minimumBlocks, 0, 0xffff);
  checkRange('optimalBlocks', topology.optimalBlocks, 0, 0xffffffff);
  return topology;
}

function checkRange(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`The topology's ${name} is ${value}: give a whole number from ${least} to ${most}`);
  }
}
