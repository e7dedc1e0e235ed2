/** The packed virtqueue's layout in memory (§2.8). All fields are little-endian. */

/** Descriptor (§2.8.13): address u64, length u32, buffer id u16, flags u16; the same for available and used ones. */
export const PackedDescriptor = { ADDRESS: 0, LENGTH: 8, ID: 12, FLAGS: 14, SIZE: 16 } as const;

/** Descriptor flags; NEXT, WRITE and INDIRECT are those of split rings. A descriptor is available or used by the wrap counter. */
export const PackedFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4, AVAILABLE: 0x80, USED: 0x8000 } as const;

/** Event suppression structure (§2.8.14): position u16 with the wrap counter in bit 15, flags u16. */
export const EventSuppression = { POSITION: 0, FLAGS: 2, SIZE: 4 } as const;

export const EventFlag = { ENABLE: 0, DISABLE: 1, DESCRIPTOR: 2 } as const;

/** The largest size of a packed virtqueue; sizes need not be powers of two (§2.8). */
export const MAX_PACKED_QUEUE_SIZE = 32768;

export const PACKED_ALIGNMENT = { descriptor: 16, driver: 4, device: 4 } as const;
