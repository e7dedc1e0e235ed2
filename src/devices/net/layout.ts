/** The network device's numbers (§5.1). */

/** Feature bits (§5.1.3). */
export const NetFeature = { MTU: 3, MAC: 5, MRG_RXBUF: 15, STATUS: 16, CTRL_VQ: 17 } as const;

export const NetQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/** Configuration space (§5.1.4), as far as what is offered reaches. */
export const NetConfig = { MAC: 0, STATUS: 6, MAX_VIRTQUEUE_PAIRS: 8, MTU: 10, BYTES: 12 } as const;

/** `status` of the configuration space. */
export const NetStatus = { LINK_UP: 1, ANNOUNCE: 2 } as const;

/** The header in front of every packet (§5.1.6) without what hash report, tunnels and IPsec add. */
export const NetHeader = { FLAGS: 0, GSO_TYPE: 1, NUM_BUFFERS: 10, BYTES: 12 } as const;
