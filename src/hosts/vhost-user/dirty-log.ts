import type { GuestAddress, GuestMemory } from '../../memory/guest-memory.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { wholePages } from '../../unix/arena.ts';
import { type Window, windows } from '../../unix/windows.ts';

/** A bit stands for so many bytes of the guest's memory, whatever its pages are. */
const LOGGED_BYTES = 4096;
const MOST_LOG_BYTES = 2 ** 32;

/** Where a log is in the file that came with it. */
export interface LogDescription {
  readonly bytes: number;
  readonly fileOffset: number;
}

/**
 * What the device has written of the guest's memory, as bits that the front-end shares: it copies a running machine to another
 * host, and again what was written meanwhile. Nothing is marked without a log, or while it is not wanted.
 */
export class DirtyLog {
  readonly #memory: GuestMemory;
  #window: Window | undefined;
  #bits: Uint8Array = new Uint8Array(0);

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Puts a log in place of the one before. The descriptor stays the caller's. */
  open(fd: number, { bytes, fileOffset }: LogDescription): void {
    if (bytes === 0 || bytes > MOST_LOG_BYTES || !Number.isSafeInteger(fileOffset) || fileOffset % LOGGED_BYTES !== 0) {
      throw new ProtocolError('vhost.frontend.log', `a log of ${bytes} bytes at ${fileOffset}`);
    }
    const window = windows.take(wholePages(bytes));
    try {
      window.arena.map(window.offset, { fd, fdOffset: fileOffset, length: bytes, writable: true });
    } catch (error) {
      windows.release(window);
      throw error;
    }
    this.#release();
    this.#window = window;
    this.#bits = new Uint8Array(window.arena.buffer, window.offset, bytes);
  }

  /** Whether what is written is marked from now on. */
  set wanted(wanted: boolean) {
    this.#memory.onWrite = wanted ? (address, length) => this.#mark(address, length) : undefined;
  }

  close(): void {
    this.wanted = false;
    this.#release();
  }

  #release(): void {
    if (this.#window !== undefined) windows.release(this.#window);
    this.#window = undefined;
    this.#bits = new Uint8Array(0);
  }

  /** The front-end takes bits away at the same time. What lies beyond the log is not part of the machine's memory. */
  #mark(address: GuestAddress, length: number): void {
    const last = Math.floor((address + length - 1) / LOGGED_BYTES);
    for (let page = Math.floor(address / LOGGED_BYTES); page <= last; page++) {
      const at = Math.floor(page / 8);
      if (at < this.#bits.length) Atomics.or(this.#bits, at, 1 << (page % 8));
    }
  }
}
