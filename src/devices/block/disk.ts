/**
 * What a block device needs of a disk. `storage/` has disks; anything with these members is one.
 */

export type DiskOperation = 'read' | 'write' | 'flush' | 'discard' | 'writeZeroes';

/**
 * One operation in flight. The block device owns the object and uses it again after `complete` or `fail`,
 * so a disk keeps no reference to it beyond that call.
 *
 * The data stays in the driver's memory, which the driver may rewrite at any time: a disk that writes copies it once
 * with `copyData` and works on the copy.
 */
export interface DiskRequest {
  readonly operation: DiskOperation;
  /** First byte on the disk; a multiple of 512 and, with `length`, within the capacity. */
  readonly position: number;
  /** Bytes; a multiple of 512. 0 for a flush. */
  readonly length: number;
  /** For `writeZeroes`: the disk may deallocate the range. */
  readonly mayUnmap: boolean;

  /**
   * Copies `length` bytes of a write's data, from `start` of the data, to `target`.
   * Throws StateError when the device was reset since: the disk then drops the request with `fail`.
   */
  copyData(start: number, target: Uint8Array, targetStart: number, length: number): void;

  /** Copies `length` bytes of a read's result to `start` of the driver's buffers. Does nothing when the device was reset since. */
  putData(start: number, source: Uint8Array, sourceStart: number, length: number): void;

  /** Done. For a write the data is in the disk's cache; for a flush everything completed before it is stable. */
  complete(): void;

  /** Not done: the driver gets VIRTIO_BLK_S_IOERR, `error` goes to the device's owner. */
  fail(error: Error): void;
}

/** The block size and alignment hints that the driver reads in the configuration space (§5.2.4). */
export interface DiskTopology {
  /** Logical block in bytes, 512 or a larger power of two: the smallest unit that the disk addresses well. */
  readonly blockSize: number;
  /** log2 of logical blocks per physical block. */
  readonly physicalBlockExponent: number;
  /** Offset of the first aligned logical block. */
  readonly alignmentOffset: number;
  /** Suggested smallest and best transfer, in logical blocks; 0 when unknown. */
  readonly minimumBlocks: number;
  readonly optimalBlocks: number;
}

export interface Disk {
  /** In units of 512 bytes. May change; then `onResize` is called. */
  readonly capacitySectors: number;
  readonly readOnly: boolean;
  /** Up to 20 bytes of ASCII, what GET_ID answers. */
  readonly identity: string;
  readonly topology: DiskTopology;
  /** The operations besides read and write that the disk can do. Without `flush` every completed write is stable. */
  readonly supports: { readonly flush: boolean; readonly discard: boolean; readonly writeZeroes: boolean };

  /** Set by the block device that uses the disk. */
  onResize: (() => void) | undefined;

  /**
   * Starts an operation; `complete` or `fail` is called exactly once, within this call or later. Requests may be
   * finished in any order. Never throws.
   */
  submit(request: DiskRequest): void;

  /** Ends the disk's use; what was completed stays. Called with no operation in flight. */
  close(): Promise<void>;
}

export const defaultTopology: DiskTopology = {
  blockSize: 512,
  physicalBlockExponent: 0,
  alignmentOffset: 0,
  minimumBlocks: 0,
  optimalBlocks: 0,
};
