import type { AccessWidth } from '../../spec/access-width.ts';
import type { MmioAccess } from '../../transports/mmio/driver.ts';
import type { QtestSocket } from './qtest-socket.ts';

/** Where the microvm machine has its virtio-mmio slots. */
const FIRST_ADDRESS = 0xfeb0_0000;
const BYTES = 0x200;
const SLOTS = 8;

/** The registers of one virtio-mmio slot, with a device or without. */
export class QtestMmioSlot implements MmioAccess {
  onInterrupt: (() => void) | undefined;
  readonly #qtest: QtestSocket;
  readonly #address: number;

  constructor(qtest: QtestSocket, address: number) {
    this.#qtest = qtest;
    this.#address = address;
  }

  read(offset: number, width: AccessWidth): Promise<number> {
    return this.#qtest.readMemory(this.#address + offset, width);
  }

  write(offset: number, width: AccessWidth, value: number): Promise<void> {
    return this.#qtest.writeMemory(this.#address + offset, width, value);
  }
}

/** All slots of the machine; QEMU fills them from the last one on. */
export function mmioSlots(qtest: QtestSocket): QtestMmioSlot[] {
  return Array.from({ length: SLOTS }, (_, n) => new QtestMmioSlot(qtest, FIRST_ADDRESS + n * BYTES));
}
