import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { PciMessage, PciMessages } from '../../transports/pci/driver-vectors.ts';

const PAGE_BYTES = 4096;
const WORD_BYTES = 4;
/** What a message writes: anything but what a word is before. */
const ARRIVED = 1;
const LOOK_EVERY_MS = 1;

/**
 * MSI-X messages of QEMU's devices, in a page of the guest's memory. A message is a write like any other; in the place where
 * processors take them nobody could see it, but in memory it is found by looking: now and then, and whenever a register was
 * answered, for on PCI no answer overtakes a message.
 */
export class MessagePage implements PciMessages {
  readonly #address: number;
  readonly #words: Int32Array;
  readonly #handlers: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `address` is that of a page that nobody else uses. Throws RangeError when there is none in `memory`. */
  constructor(memory: GuestMemory, address: number) {
    const region = memory.find(address, PAGE_BYTES);
    if (region === undefined || address % PAGE_BYTES !== 0) {
      throw new RangeError(`there is no page at 0x${address.toString(16)} of the guest's memory`);
    }
    this.#address = address;
    const { bytes } = region;
    const start = bytes.byteOffset + address - region.address;
    this.#words = new Int32Array(bytes.buffer, start, PAGE_BYTES / WORD_BYTES).fill(0);
  }

  /** Throws RangeError when all words of the page are taken. The vector does not matter: each call has a word of its own. */
  messageFor(_vector: number, handler: () => void): PciMessage {
    if (this.#handlers.length === this.#words.length) throw new RangeError('the page has no room for another message');
    const word = this.#handlers.push(handler) - 1;
    this.#timer ??= setInterval(() => this.look(), LOOK_EVERY_MS);
    return { address: this.#address + WORD_BYTES * word, data: ARRIVED };
  }

  /** A message that comes while its handler is at work is there the next time. */
  look(): void {
    for (const [word, handler] of this.#handlers.entries()) {
      if (Atomics.exchange(this.#words, word, 0) === ARRIVED) handler();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
