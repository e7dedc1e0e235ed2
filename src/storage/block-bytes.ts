/** The unit in which overlays allocate and copy: a page of the guest, and of every file system in use. */
export const blockBytes = 4096;

/** A block that nobody wrote. Shared by all overlays and never written to. */
export const zeroBlock: Uint8Array = new Uint8Array(blockBytes);
