/** The console device's numbers (§5.3). */

/** Feature bits (§5.3.3). */
export const ConsoleFeature = { SIZE: 0, MULTIPORT: 1, EMERG_WRITE: 2 } as const;

/** Queues of port 0 (§5.3.2). */
export const ConsoleQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/**
 * Configuration space (§5.3.4). The order of the first two fields was exchanged in VIRTIO 1.4; drivers and devices made
 * before it have the columns first, Linux and QEMU among them. See `SizeOrder`.
 */
export const ConsoleConfig = { ROWS: 0, COLS: 2, MAX_NR_PORTS: 4, EMERG_WR: 8, BYTES: 12 } as const;

/** In characters. */
export interface ConsoleSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * Which field of the size comes first: `standard` is the rows, as in VIRTIO 1.4 and by default; `before-1.4` is the
 * columns, as the peer has it that was made before. To be chosen by the peer: nothing on the wire tells which it is.
 */
export type SizeOrder = 'standard' | 'before-1.4';

/** The size, by the two fields of a configuration space. */
export function sizeOf(first: number, second: number, order: SizeOrder = 'standard'): ConsoleSize {
  return order === 'standard' ? { rows: first, columns: second } : { rows: second, columns: first };
}

/** Puts the size into a configuration space. */
export function writeSize(bytes: Uint8Array, size: ConsoleSize, order: SizeOrder = 'standard'): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint16(ConsoleConfig.ROWS, order === 'standard' ? size.rows : size.columns, true);
  view.setUint16(ConsoleConfig.COLS, order === 'standard' ? size.columns : size.rows, true);
}
