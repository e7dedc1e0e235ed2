import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { Arena } from '../../unix/arena.ts';

/** A file that another process has mapped too: what either writes the other reads. */
export interface SharedMemory {
  readonly bytes: Uint8Array;
  /** Lets go of the file. `bytes` is memory of nobody's then; it can be read and written without effect. */
  release(): void;
}

/** Makes a file of `length` bytes, all zero, and maps it. Throws TransportError when the system has no such memory. */
export function createSharedMemory(path: string, length: number): SharedMemory {
  const fd = openSync(path, 'wx+', 0o600);
  try {
    ftruncateSync(fd, length);
    const arena = Arena.reserve(length);
    arena.map(0, { fd, fdOffset: 0, length, writable: true });
    return { bytes: new Uint8Array(arena.buffer), release: () => arena.unmap(0, length) };
  } finally {
    closeSync(fd);
  }
}
