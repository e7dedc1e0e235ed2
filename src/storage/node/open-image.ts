import { basename } from 'node:path';
import { TransportError } from '../../spec/fault.ts';
import { type DiskOptions, sectorBytes } from '../disk-options.ts';
import { asError } from '../refusal.ts';
import type { DirectAccess } from './direct-access.ts';
import type { FileAccess, FileCalls, FileStatus } from './file-calls.ts';
import { lockImage } from './file-lock.ts';
import { imageError } from './image-error.ts';

/** How a file is opened as a disk, whatever is done with it then. */
export interface ImageFileOptions extends DiskOptions {
  /** Ends the opening, with the signal's reason; no effect once the disk is open. */
  readonly signal?: AbortSignal;
  /**
   * `shared` lets others who say so, and readers, have it, too: the caller sees to it that one writes at a time, as the two ends of
   * a live migration do. `none` where the file system or platform has no locks: then the caller keeps other users away.
   */
  readonly locking?: ImageLocking;
  /** For tests: what to call instead of the operating system. */
  readonly calls?: FileCalls;
}

/** An image that was found good and is locked. */
export interface OpenImage {
  readonly path: string;
  readonly fd: number;
  readonly calls: FileCalls;
  /** What is needed past the page cache; undefined for an image that is read and written through it. */
  readonly direct: DirectAccess | undefined;
}

/** Whom the lock of an image keeps away: every other writer, those who do not share, or nobody. */
export type ImageLocking = 'required' | 'shared' | 'none';

export interface OpenImagePlan {
  readonly path: string;
  readonly readOnly: boolean;
  readonly access: FileAccess;
  readonly locking: ImageLocking;
  readonly signal: AbortSignal | undefined;
  readonly calls: FileCalls;
}

/** Opens, locks and checks a raw image; writes nothing. Throws TransportError that says what is wrong with the path. */
export async function openImage(plan: OpenImagePlan): Promise<{ image: OpenImage; bytes: number }> {
  const { path, readOnly, access, locking, signal, calls } = plan;
  signal?.throwIfAborted();
  // Before it is opened: opening a pipe would wait for somebody at its other end.
  checkKind(path, await named(path, calls.stat(path)));
  signal?.throwIfAborted();
  // Loaded where it is used: the other way needs nothing but Node.
  const directly = access === 'direct' ? await import('./direct-access.ts') : undefined;
  directly?.checkPlace(path);
  const opened = named(path, calls.open(path, readOnly ? 'r' : 'r+', access));
  const fd = await (directly?.explained(path, opened) ?? opened);
  let image: OpenImage = { path, fd, calls, direct: undefined };
  try {
    signal?.throwIfAborted();
    if (locking !== 'none') lockImage(calls, fd, path, readOnly || locking === 'shared' ? 'shared' : 'exclusive');
    imageBytes(image);
    if (directly !== undefined) image = { ...image, direct: await directly.DirectAccess.find(image) };
    signal?.throwIfAborted();
    return { image, bytes: imageBytes(image) };
  } catch (error) {
    await closeImage(image);
    throw error;
  }
}

/** Gives the file and its lock back; nothing may be in flight. */
export async function closeImage({ calls, fd, direct }: OpenImage): Promise<void> {
  direct?.release();
  await calls.close(fd);
}

/** The size of the file now. Throws TransportError when no disk can have it. */
export function imageBytes(image: OpenImage): number {
  const { path } = image;
  const status = imageStatus(image);
  checkKind(path, status);
  if (status.size === 0) {
    throw new TransportError(`Disk image ${path} is empty: give it a size first, for example with truncate -s 64M`);
  }
  checkMultiple(image, status.size);
  return status.size;
}

/** Throws TransportError unless a disk can be this large. */
export function checkMultiple({ path, direct }: OpenImage, bytes: number): void {
  if (bytes % sectorBytes !== 0) {
    throw new TransportError(
      `Disk image ${path} has ${bytes} bytes, which is not a multiple of 512: it is cut short, or no raw image. ` +
        `Get it again, or pad it with truncate -s ${Math.ceil(bytes / sectorBytes) * sectorBytes}`,
    );
  }
  if (direct !== undefined && bytes % direct.blockBytes !== 0) {
    throw new TransportError(
      `Disk image ${path} would have a part of a block at its end: its medium has blocks of ${direct.blockBytes} bytes, ` +
        `and past the page cache only whole ones are written. Give it a multiple of them, not ${bytes} bytes`,
    );
  }
}

/** Throws TransportError when the operating system cannot tell. */
export function imageStatus(image: OpenImage): FileStatus {
  try {
    return image.calls.fstat(image.fd);
  } catch (thrown) {
    throw imageError(image.path, asError(thrown));
  }
}

/** The file's name, as far as GET_ID can carry it. */
export function identityOf(path: string): string {
  return basename(path)
    .replaceAll(/[^\x20-\x7e]/g, '_')
    .slice(0, 20);
}

function checkKind(path: string, status: FileStatus): void {
  if (status.isDirectory()) throw new TransportError(`Disk image ${path} is a folder: give the path of a file in it`);
  if (!status.isFile()) {
    throw new TransportError(`Disk image ${path} is no regular file but a device, pipe or socket: copy it to a file`);
  }
}

async function named<Result>(path: string, result: Promise<Result>): Promise<Result> {
  try {
    return await result;
  } catch (cause) {
    throw imageError(path, asError(cause));
  }
}
