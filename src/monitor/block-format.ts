/** The block device's numbers (§5.2), for the judge alone. */

export const BlockFeature = {
  SIZE_MAX: 1,
  SEG_MAX: 2,
  RO: 5,
  FLUSH: 9,
  CONFIG_WCE: 11,
  DISCARD: 13,
  SECURE_ERASE: 16,
  ZONED: 17,
} as const;

/** Configuration space (§5.2.4). */
export const BlockField = {
  CAPACITY: 0,
  SIZE_MAX: 8,
  SEG_MAX: 12,
  WRITEBACK: 32,
  MAX_DISCARD_SEG: 40,
  MAX_WRITE_ZEROES_SEG: 52,
  WRITE_ZEROES_MAY_UNMAP: 56,
  MAX_SECURE_ERASE_SEG: 64,
  SECURE_ERASE_ALIGNMENT: 68,
  ZONE_SECTORS: 72,
  MAX_OPEN_ZONES: 76,
  MAX_ACTIVE_ZONES: 80,
  MAX_APPEND_SECTORS: 84,
  WRITE_GRANULARITY: 88,
  ZONED_MODEL: 92,
} as const;

export const ZonedModel = { NONE: 0, HOST_MANAGED: 1, HOST_AWARE: 2 } as const;

/** Types of requests (§5.2.6). */
export const BlockType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  GET_LIFETIME: 10,
  DISCARD: 11,
  WRITE_ZEROES: 13,
  SECURE_ERASE: 14,
  ZONE_APPEND: 15,
  ZONE_REPORT: 16,
  ZONE_OPEN: 18,
  ZONE_CLOSE: 20,
  ZONE_FINISH: 22,
  ZONE_RESET: 24,
  ZONE_RESET_ALL: 26,
} as const;

export const BlockStatus = {
  OK: 0,
  IOERR: 1,
  UNSUPP: 2,
  ZONE_INVALID_CMD: 3,
  ZONE_UNALIGNED_WP: 4,
  ZONE_OPEN_RESOURCE: 5,
  ZONE_ACTIVE_RESOURCE: 6,
} as const;

/** Before the data of a request: type u32, reserved u32, sector u64. */
export const BlockHeader = { TYPE: 0, SECTOR: 8, BYTES: 16 } as const;

/** One range of a discard, an erase or zeroing: sector u64, sectors u32, flags u32. */
export const BlockRange = { SECTOR: 0, SECTORS: 8, FLAGS: 12, BYTES: 16, UNMAP: 1 } as const;

/** A report of zones: their number, and from ZONES on a descriptor of each. */
export const ZoneReport = { ZONES: 64, CAPACITY: 0, START: 8, POINTER: 16, TYPE: 24, STATE: 25, BYTES: 64 } as const;

export const ZoneType = { CONVENTIONAL: 1, SEQUENTIAL_REQUIRED: 2, SEQUENTIAL_PREFERRED: 3 } as const;

export const ZoneState = { EMPTY: 1, CLOSED: 4, READ_ONLY: 13, FULL: 14, OFFLINE: 15 } as const;

export const SECTOR_BYTES = 512;
