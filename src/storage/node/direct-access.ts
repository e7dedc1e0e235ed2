import { constants, statfsSync } from 'node:fs';
import { TransportError } from '../../spec/fault.ts';
import { FixedMemory } from '../../unix/mapping.ts';
import type { FileCalls } from './file-calls.ts';
import { FileSystem } from './file-systems.ts';
import { imageError } from './image-error.ts';

/** What the blocks of a medium may have. */
const LEAST_BLOCK_BYTES = 512;
const MOST_BLOCK_BYTES = 65536;

interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly calls: FileCalls;
}

/** Throws TransportError where an image cannot be opened past the page cache, though the system may not say so. */
export function checkPlace(path: string): void {
  // Not so on all platforms, whatever the types say.
  if ((constants.O_DIRECT as number | undefined) === undefined) {
    throw new TransportError(
      `Disk image ${path} cannot be opened past the page cache on this platform: that needs Linux`,
    );
  }
  // Linux has opened such files since 6.6, and takes no notice.
  if (statfsSync(path).type === FileSystem.TMPFS) {
    throw new TransportError(
      `Disk image ${path} is on tmpfs, which is in the page cache itself: there is no direct access. ` +
        'Open it without, or put it on a disk',
    );
  }
}

/** The descriptor; rejects with what it means that an image cannot be opened so. */
export function explained(path: string, opened: Promise<number>): Promise<number> {
  return opened.catch((cause: Error) => {
    const error = cause.cause;
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw cause;
    throw new TransportError(
      `Disk image ${path} cannot be opened past the page cache: its file system has no direct access (O_DIRECT). ` +
        'Open it without, or put it on another, as ext4',
      { cause },
    );
  });
}

/** What reads and writes past the page cache need: whole blocks of the medium, and memory that the system can use by itself. */
export class DirectAccess {
  /** Positions and lengths are multiples of this, a power of two. */
  readonly blockBytes: number;
  readonly #pieces: FixedMemory[];

  private constructor(blockBytes: number, piece: FixedMemory) {
    this.blockBytes = blockBytes;
    this.#pieces = [piece];
  }

  /** Tries which blocks the file of an image is read in. Throws TransportError when there are none. */
  static async find(image: OpenFile): Promise<DirectAccess> {
    const piece = new FixedMemory(MOST_BLOCK_BYTES);
    try {
      for (let bytes = LEAST_BLOCK_BYTES; bytes <= MOST_BLOCK_BYTES; bytes *= 2) {
        if (await canBeRead(image, piece.bytes, bytes)) return new DirectAccess(bytes, piece);
      }
      throw new TransportError(
        `Disk image ${image.path} cannot be read past the page cache, in blocks of whatever size`,
      );
    } catch (error) {
      piece.release();
      throw error;
    }
  }

  /** Rounded up. */
  wholeBlocks(bytes: number): number {
    return Math.ceil(bytes / this.blockBytes) * this.blockBytes;
  }

  /** Memory at the beginning of a page, for as long as the image is open. */
  allocate(bytes: number): Uint8Array {
    const piece = new FixedMemory(bytes);
    this.#pieces.push(piece);
    return piece.bytes;
  }

  /** Takes back what was allocated: nobody may use it any more. */
  release(): void {
    for (const piece of this.#pieces.splice(0)) piece.release();
  }
}

function canBeRead({ path, fd, calls }: OpenFile, memory: Uint8Array, bytes: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    calls.read(fd, memory, 0, bytes, 0, (error) => {
      if (error === null) resolve(true);
      else if ('code' in error && error.code === 'EINVAL') resolve(false);
      else reject(imageError(path, error));
    });
  });
}
