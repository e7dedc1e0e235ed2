import { PackedDescriptor } from '../spec/packed-ring.ts';
import { Descriptor, DescriptorFlag } from '../spec/split-ring.ts';
import { HexBytes, type QueuePlace, type RingBytes } from './ring-memory.ts';

/** The descriptors of buffers, in rings and in indirect tables, by a reader that shares nothing with what is judged. */

export type RingFormat = 'split' | 'packed';

export interface ChainDescriptor {
  readonly index: number;
  readonly address: number;
  readonly length: number;
  /** NEXT, WRITE and INDIRECT are the same in both formats. */
  readonly flags: number;
  /** In split rings, and in their tables. */
  readonly next: number;
}

/**
 * The descriptors of a buffer in a ring: from its head on, or in a packed one from where it is. One more than the queue has at
 * most: then they are too many, or have no end.
 */
export function chainIn(
  memory: RingBytes,
  { descriptor: table, size }: QueuePlace,
  first: number,
  format: RingFormat,
): readonly ChainDescriptor[] {
  const chain: ChainDescriptor[] = [];
  for (let index = first; chain.length <= size; ) {
    const descriptor = descriptorAt(memory, table, index, format);
    chain.push(descriptor);
    if ((descriptor.flags & DescriptorFlag.NEXT) === 0) break;
    index = format === 'split' ? descriptor.next : (index + 1) % size;
  }
  return chain;
}

function descriptorAt(memory: RingBytes, table: number, index: number, format: RingFormat): ChainDescriptor {
  const at = table + Descriptor.SIZE * index;
  return {
    index,
    address: memory.u32(at + Descriptor.ADDRESS) + memory.u32(at + Descriptor.ADDRESS + 4) * 0x1_0000_0000,
    length: memory.u32(at + Descriptor.LENGTH),
    flags: memory.u16(at + (format === 'split' ? Descriptor.FLAGS : PackedDescriptor.FLAGS)),
    next: memory.u16(at + Descriptor.NEXT),
  };
}

/** What a chain has of an indirect table. */
export function indirectOf(chain: readonly ChainDescriptor[]): ChainDescriptor | undefined {
  return chain.find(({ flags }) => (flags & DescriptorFlag.INDIRECT) !== 0);
}

/** The entries of an indirect table as they lie in it, as far as its bytes are known. */
export function entriesOf(table: string, format: RingFormat): readonly ChainDescriptor[] {
  const bytes = new HexBytes(table);
  const count = Math.floor(bytes.length / Descriptor.SIZE);
  return Array.from({ length: count }, (_, index) => descriptorAt(bytes, 0, index, format));
}

/** What a buffer consists of, whether in the ring or in a table; undefined where that is not known, or makes no sense. */
export function segmentsOf(
  chain: readonly ChainDescriptor[],
  size: number,
  format: RingFormat,
  table: string | undefined,
): readonly ChainDescriptor[] | undefined {
  if (chain.length > size) return undefined;
  const indirect = indirectOf(chain);
  if (indirect === undefined) return chain;
  if (table === undefined || indirect !== chain.at(-1) || table.length / 2 < indirect.length) return undefined;
  const entries = entriesOf(table, format);
  if (format === 'packed') return [...chain.slice(0, -1), ...entries];
  const walked: ChainDescriptor[] = [];
  for (let entry = entries[0]; entry !== undefined && walked.length < entries.length; entry = entries[entry.next]) {
    walked.push(entry);
    if ((entry.flags & DescriptorFlag.NEXT) === 0) return [...chain.slice(0, -1), ...walked];
  }
  return undefined;
}

export function isWritable({ flags }: ChainDescriptor): boolean {
  return (flags & DescriptorFlag.WRITE) !== 0;
}

/** Bytes that the device may read and write; unknown where the segments are. */
export function lengthsOf(segments: readonly ChainDescriptor[] | undefined): {
  readonly readable?: number;
  readonly writable?: number;
} {
  if (segments === undefined) return {};
  const sum = (wanted: boolean): number =>
    segments.reduce((total, segment) => total + (isWritable(segment) === wanted ? segment.length : 0), 0);
  return { readable: sum(false), writable: sum(true) };
}
