import { GuestMemory } from '../../memory/guest-memory.ts';
import { PAGE_BYTES } from '../../unix/arena.ts';
import { closeFd, memfd } from '../../unix/file-descriptor.ts';
import { type Window, windows } from '../../unix/windows.ts';

/** Memory of a driver that a device in another process can map, too. */
export class ClientMemory {
  /** One region at address 0; empty after `release`. */
  readonly memory: GuestMemory = new GuestMemory();
  readonly bytes: number;
  /** What the other process is given to map. */
  readonly fd: number;
  readonly #window: Window;
  #released = false;

  /** Whole pages, at most 4 GiB, all zero. Throws TransportError when there are not so many. */
  constructor(bytes: number) {
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % PAGE_BYTES !== 0 || bytes > 2 ** 32) {
      throw new RangeError(`memory of ${bytes} bytes cannot be shared: whole pages up to 4 GiB can`);
    }
    this.bytes = bytes;
    this.fd = memfd(bytes);
    this.#window = windows.take(bytes);
    const { arena, offset } = this.#window;
    try {
      arena.map(offset, { fd: this.fd, fdOffset: 0, length: bytes, writable: true });
    } catch (error) {
      this.release();
      throw error;
    }
    this.memory.add(0, new Uint8Array(arena.buffer, offset, bytes), { shared: true });
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const region of this.memory.regions) this.memory.remove(region);
    const { arena, offset, length } = this.#window;
    arena.unmap(offset, length);
    windows.giveBack(this.#window);
    closeFd(this.fd);
  }
}
