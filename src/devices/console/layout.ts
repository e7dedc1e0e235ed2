/** The console device's numbers (§5.3). */

/** Feature bits (§5.3.3). */
export const ConsoleFeature = { SIZE: 0, MULTIPORT: 1, EMERG_WRITE: 2 } as const;

/** Queues of port 0 (§5.3.2). */
export const ConsoleQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/**
 * Configuration space (§5.3.4). The order of the first two fields was exchanged in VIRTIO 1.4; drivers made before it,
 * Linux among them, read the columns first.
 */
export const ConsoleConfig = { ROWS: 0, COLS: 2, MAX_NR_PORTS: 4, EMERG_WR: 8, BYTES: 12 } as const;
