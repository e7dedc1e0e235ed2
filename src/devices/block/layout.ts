/** The block device's numbers (§5.2). */

/** Feature bits (§5.2.3). */
export const BlockFeature = {
  SIZE_MAX: 1,
  SEG_MAX: 2,
  GEOMETRY: 4,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
  LIFETIME: 15,
  SECURE_ERASE: 16,
  ZONED: 17,
} as const;

/** Configuration space (§5.2.4); everything behind write_zeroes_may_unmap belongs to features that are not offered. */
export const BlockConfig = {
  CAPACITY: 0,
  SIZE_MAX: 8,
  SEG_MAX: 12,
  GEOMETRY: 16,
  BLK_SIZE: 20,
  PHYSICAL_BLOCK_EXP: 24,
  ALIGNMENT_OFFSET: 25,
  MIN_IO_SIZE: 26,
  OPT_IO_SIZE: 28,
  WRITEBACK: 32,
  NUM_QUEUES: 34,
  MAX_DISCARD_SECTORS: 36,
  MAX_DISCARD_SEG: 40,
  DISCARD_SECTOR_ALIGNMENT: 44,
  MAX_WRITE_ZEROES_SECTORS: 48,
  MAX_WRITE_ZEROES_SEG: 52,
  WRITE_ZEROES_MAY_UNMAP: 56,
  BYTES: 60,
} as const;

/** Request types (§5.2.6). */
export const BlockRequestType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
} as const;

/** Request status, the last device-writable byte (§5.2.6). */
export const BlockStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** Request header: type u32, reserved u32, sector u64. */
export const BlockHeader = { TYPE: 0, SECTOR: 8, BYTES: 16 } as const;

/** A discard or write zeroes segment: sector u64, num_sectors u32, flags u32. */
export const BlockRange = { SECTOR: 0, NUM_SECTORS: 8, FLAGS: 12, BYTES: 16 } as const;

/** The only flag of a segment; only write zeroes may have it. */
export const RANGE_UNMAP = 1;

export const SECTOR_BYTES = 512;

/** Bytes of a GET_ID answer. */
export const ID_BYTES = 20;
