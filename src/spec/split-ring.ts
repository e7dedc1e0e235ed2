/** The split virtqueue's layout in memory (§2.7). All fields are little-endian. */

/** Descriptor table entry (§2.7.5): address u64, length u32, flags u16, next u16. */
export const Descriptor = { ADDRESS: 0, LENGTH: 8, FLAGS: 12, NEXT: 14, SIZE: 16 } as const;

/** Descriptor flags (§2.7.5). */
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** Available ring (§2.7.6): flags u16, index u16, ring u16[queue size], used_event u16. */
export const Available = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_SIZE: 2 } as const;

/** The driver asks for no used buffer notifications (§2.7.7). */
export const AVAILABLE_NO_INTERRUPT = 1;

/** Used ring (§2.7.8): flags u16, index u16, ring {id u32, length u32}[queue size], avail_event u16. */
export const Used = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_SIZE: 8 } as const;

/** The device asks for no available buffer notifications (§2.7.10). */
export const USED_NO_NOTIFY = 1;

/** The largest size of a split virtqueue; sizes are powers of two (§2.7). */
export const MAX_SPLIT_QUEUE_SIZE = 32768;

/** Bytes and alignment of the three areas of a queue of `size` entries (§2.7). */
export function splitAreas(size: number): { descriptor: number; driver: number; device: number } {
  return {
    descriptor: Descriptor.SIZE * size,
    driver: Available.RING + Available.ENTRY_SIZE * size + 2,
    device: Used.RING + Used.ENTRY_SIZE * size + 2,
  };
}

export const SPLIT_ALIGNMENT = { descriptor: 16, driver: 2, device: 4 } as const;
