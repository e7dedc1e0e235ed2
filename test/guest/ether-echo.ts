/** The smallest network: one host that answers ARP and ICMP echo requests for every IPv4 address (RFC 826, RFC 792). */

const ETHERNET = 14;
const IP = 20;
const OWN_MAC = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1);

/** The answer to a frame, or undefined when it needs none. */
export function answer(frame: Uint8Array): Uint8Array | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const type = frame.length < ETHERNET + IP ? 0 : view.getUint16(12);
  if (type === 0x0806 && view.getUint16(ETHERNET + 6) === 1) return arpReply(frame);
  const isIcmp = type === 0x0800 && frame[ETHERNET] === 0x45 && frame[ETHERNET + 9] === 1;
  if (isIcmp && frame[ETHERNET + IP] === 8) return echoReply(frame);
  return undefined;
}

/** Asks everybody for the address of an IPv4 host. */
export function arpRequest(target: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes.fill(0xff, 0, 6);
  bytes.set(OWN_MAC, 6);
  bytes.set([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1, ...OWN_MAC, 10, 0, 0, 1], 12);
  bytes.set(target, ETHERNET + 24);
  return bytes;
}

export function isArpReply(frame: Uint8Array): boolean {
  return frame[12] === 0x08 && frame[13] === 0x06 && frame[ETHERNET + 7] === 2;
}

function reply(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice();
  bytes.set(frame.subarray(6, 12), 0);
  bytes.set(OWN_MAC, 6);
  return bytes;
}

function arpReply(frame: Uint8Array): Uint8Array {
  const bytes = reply(frame);
  bytes[ETHERNET + 7] = 2;
  const [sender, target] = [ETHERNET + 8, ETHERNET + 18];
  bytes.set(OWN_MAC, sender);
  bytes.set(frame.subarray(target + 6, target + 10), sender + 6);
  bytes.set(frame.subarray(sender, sender + 10), target);
  return bytes;
}

/** Exchanging the addresses changes no checksum of the IP header; type 8 becomes 0, which that of ICMP has to make up for. */
function echoReply(frame: Uint8Array): Uint8Array {
  const bytes = reply(frame);
  const [source, destination] = [ETHERNET + 12, ETHERNET + 16];
  bytes.set(frame.subarray(destination, destination + 4), source);
  bytes.set(frame.subarray(source, source + 4), destination);
  bytes[ETHERNET + IP] = 0;
  const view = new DataView(bytes.buffer);
  const sum = view.getUint16(ETHERNET + IP + 2) + 0x0800;
  view.setUint16(ETHERNET + IP + 2, (sum & 0xffff) + (sum >>> 16));
  return bytes;
}
