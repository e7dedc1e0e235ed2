import { closeSync, ftruncateSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { TransportError } from '../../spec/fault.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
/** What mmap returns when it fails: -1. */
const MAP_FAILED = 2n ** 64n - 1n;

/** A file that another process has mapped too: what either writes the other reads. */
export interface SharedMemory {
  readonly bytes: Uint8Array;
  /** Lets go of the file. `bytes` is memory of nobody's then; it can be read and written without effect. */
  release(): void;
}

/** Makes a file of `length` bytes, all zero, and maps it. Throws TransportError when the system has no such memory. */
export function createSharedMemory(path: string, length: number): SharedMemory {
  const file = openSync(path, 'wx+', 0o600);
  try {
    ftruncateSync(file, length);
    const { mmap, errno } = system();
    const address = mmap(null, length, PROT_READ_WRITE, MAP_SHARED, file, 0);
    if (koffi.address(address) === MAP_FAILED) {
      throw new TransportError(`${path} cannot be mapped into memory: error ${errno()}`);
    }
    return {
      bytes: new Uint8Array(koffi.view(address, length)),
      // Unmapping would leave views of nothing, whose use ends the process.
      release: () => void mmap(address, length, PROT_READ_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0),
    };
  } finally {
    closeSync(file);
  }
}

type Mmap = (
  address: unknown,
  length: number,
  protection: number,
  flags: number,
  file: number,
  offset: number,
) => object;

/** The C library, looked up when it is first needed: systems without it can do everything else. */
function system(): { mmap: Mmap; errno: () => number } {
  const library = koffi.load(null);
  const mmap = library.func('void *mmap(void *, size_t, int, int, int, int64_t)') as unknown as Mmap;
  return { mmap, errno: () => koffi.errno() };
}
