import { Arena, wholePages } from '../../unix/arena.ts';

/** As much as one view can show. */
export const WINDOW_BYTES: number = 2 ** 32;

interface Window {
  readonly arena: Arena;
  /** All of the window, also what is beyond the end of the file, which must not be touched. */
  readonly bytes: Uint8Array;
  mapped: number;
}

/** A file of any size as memory: windows of 4 GiB each, of which addresses are reserved once. */
export class MappedFile {
  readonly #fd: number;
  readonly #writable: boolean;
  readonly #windows: Window[] = [];

  /** The descriptor stays the caller's. What is written to a file that is not writable stays in memory. */
  constructor(fd: number, options: { readonly writable: boolean }) {
    this.#fd = fd;
    this.#writable = options.writable;
  }

  /** Maps the file's first `bytes`, and nothing more. Throws TransportError; then nothing is mapped that was not before. */
  resize(bytes: number): void {
    const count = Math.ceil(bytes / WINDOW_BYTES);
    for (let n = 0; n < Math.max(count, this.#windows.length); n++) {
      this.#map(n, Math.min(Math.max(bytes - n * WINDOW_BYTES, 0), WINDOW_BYTES));
    }
  }

  /** The window where a position of the file is: at `position % WINDOW_BYTES` of these bytes. It has been mapped. */
  window(position: number): Uint8Array {
    return this.#windows[Math.floor(position / WINDOW_BYTES)]!.bytes;
  }

  /** Gives memory and addresses back; no window may be touched any more. */
  close(): void {
    for (const { arena } of this.#windows.splice(0)) arena.release();
  }

  #map(number: number, length: number): void {
    let window = this.#windows[number];
    if (window === undefined) {
      const arena = Arena.reserve(WINDOW_BYTES);
      window = { arena, bytes: new Uint8Array(arena.buffer), mapped: 0 };
      this.#windows.push(window);
    }
    const { arena, mapped } = window;
    if (length > mapped) {
      arena.map(0, { fd: this.#fd, fdOffset: number * WINDOW_BYTES, length, writable: this.#writable });
    } else if (wholePages(length) < wholePages(mapped)) {
      arena.unmap(wholePages(length), wholePages(mapped) - wholePages(length));
    }
    window.mapped = length;
  }
}
