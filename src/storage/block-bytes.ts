/** The unit in which the disks in memory allocate and copy: a page of the guest, and of every file system in use. */
export const blockBytes = 4096;

/** A block that nobody wrote. Shared by all disks and never written to. */
export const zeroBlock: Uint8Array = new Uint8Array(blockBytes);
