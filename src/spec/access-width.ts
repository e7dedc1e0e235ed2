/** Bytes of one access to a register. */
export type AccessWidth = 1 | 2 | 4;
