/** The network device's numbers (§5.1). */

/** Feature bits (§5.1.3). */
export const NetFeature = { CSUM: 0, MTU: 3, MAC: 5, MRG_RXBUF: 15, STATUS: 16, CTRL_VQ: 17 } as const;

export const NetQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/** Configuration space (§5.1.4), as far as what is offered reaches. */
export const NetConfig = { MAC: 0, STATUS: 6, MAX_VIRTQUEUE_PAIRS: 8, MTU: 10, BYTES: 12 } as const;

/** Smallest and largest `mtu` of the configuration space (§5.1.4.1). */
export const NetMtu = { MIN: 68, MAX: 65_535 } as const;

/** `status` of the configuration space. */
export const NetStatus = { LINK_UP: 1, ANNOUNCE: 2 } as const;

/** The header in front of every packet (§5.1.6) without what hash report, tunnels and IPsec add. */
export const NetHeader = { FLAGS: 0, GSO_TYPE: 1, NUM_BUFFERS: 10, BYTES: 12 } as const;

/** `flags` of the header. */
export const NetHeaderFlag = { NEEDS_CSUM: 1 } as const;

/** Lengths and the position of the type in an Ethernet frame. A VLAN tag comes on top of the header. */
export const Ethernet = { HEADER: 14, TYPE: 12, TYPE_VLAN: 0x8100, TYPE_QINQ: 0x88a8, VLAN_TAG: 4, MTU: 1500 } as const;

/** The longest frame of an MTU: a VLAN tag is part of the link's header, which the MTU does not count. */
export function longestFrame(frame: Uint8Array, mtu: number): number {
  const type = (frame[Ethernet.TYPE] ?? 0) * 256 + (frame[Ethernet.TYPE + 1] ?? 0);
  const tagged = type === Ethernet.TYPE_VLAN || type === Ethernet.TYPE_QINQ;
  return Ethernet.HEADER + (tagged ? Ethernet.VLAN_TAG : 0) + mtu;
}
