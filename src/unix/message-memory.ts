import { FixedMemory } from './mapping.ts';

export const MSG_CTRUNC = 8;

/** More in one message are an error: vfio-user announces 16, vhost-user needs 8. */
export const MOST_FDS = 16;

/** How much one call moves at most. */
const STAGING_BYTES = 65536;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** struct cmsghdr: a u64 length with the header, level, type; then the descriptors. */
const CMSG_HEADER = 16;
const CONTROL_BYTES: number = CMSG_HEADER + 4 * MOST_FDS;

/** struct msghdr, then the one struct iovec that it names, the control messages, and the bytes. */
const Place = { HEADER: 0, IOVEC: 64, CONTROL: 128, STAGING: 256 } as const;
const Header = { IOVEC: 16, IOVEC_COUNT: 24, CONTROL: 32, CONTROL_LENGTH: 40, FLAGS: 48 } as const;

/** The memory in which sendmsg and recvmsg find a message: addresses in it point to its other parts. */
export class MessageMemory {
  readonly #memory = new FixedMemory(Place.STAGING + STAGING_BYTES);

  constructor() {
    const { view, address } = this.#memory;
    view.setBigUint64(Header.IOVEC, address + BigInt(Place.IOVEC), true);
    view.setBigUint64(Header.IOVEC_COUNT, 1n, true);
    view.setBigUint64(Header.CONTROL, address + BigInt(Place.CONTROL), true);
    view.setBigUint64(Place.IOVEC, address + BigInt(Place.STAGING), true);
  }

  /** The address of the header, for the calls. */
  get header(): bigint {
    return this.#memory.address;
  }

  /** Of the last message received. */
  get flags(): number {
    return this.#memory.view.getInt32(Header.FLAGS, true);
  }

  /** The first bytes of the last message; good until the next call. */
  staging(length: number): Uint8Array {
    return this.#memory.bytes.subarray(Place.STAGING, Place.STAGING + length);
  }

  /** Before each recvmsg: room for `most` bytes and for descriptors. */
  clear(most: number): void {
    this.#shape(Math.min(most, STAGING_BYTES), CONTROL_BYTES);
  }

  /** Before each sendmsg: bytes from `start` on, as many as there is room for, and descriptors. */
  fill(bytes: Uint8Array, start: number, fds: readonly number[]): void {
    if (fds.length > MOST_FDS)
      throw new RangeError(`${fds.length} descriptors in one message; at most ${MOST_FDS} can be`);
    const length = Math.min(bytes.length - start, STAGING_BYTES);
    this.#memory.bytes.set(bytes.subarray(start, start + length), Place.STAGING);
    const control = fds.length === 0 ? 0 : CMSG_HEADER + 4 * fds.length;
    this.#shape(length, control);
    const { view } = this.#memory;
    view.setBigUint64(Place.CONTROL, BigInt(control), true);
    view.setInt32(Place.CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(Place.CONTROL + 12, SCM_RIGHTS, true);
    fds.forEach((fd, n) => {
      view.setInt32(Place.CONTROL + CMSG_HEADER + 4 * n, fd, true);
    });
  }

  /** The descriptors of the last message received; the caller closes them. */
  takeFds(): number[] {
    const { view } = this.#memory;
    const fds: number[] = [];
    const end = Place.CONTROL + view.getUint32(Header.CONTROL_LENGTH, true);
    for (let at: number = Place.CONTROL; at + CMSG_HEADER <= end; ) {
      const length = view.getUint32(at, true);
      if (length < CMSG_HEADER) break;
      const isRights = view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS;
      for (let n = at + CMSG_HEADER; isRights && n + 4 <= at + length; n += 4) fds.push(view.getInt32(n, true));
      // Aligned to eight bytes each.
      at += Math.ceil(length / 8) * 8;
    }
    return fds;
  }

  /** Lengths have 64 bits, of which the upper half stays 0. */
  #shape(length: number, control: number): void {
    const { view } = this.#memory;
    view.setUint32(Place.IOVEC + 8, length, true);
    view.setUint32(Header.CONTROL_LENGTH, control, true);
    view.setInt32(Header.FLAGS, 0, true);
  }
}
