import { basename } from 'node:path';
import type { DiskRequest } from '../../devices/block/disk.ts';
import { TransportError } from '../../spec/fault.ts';
import { sectorBytes } from '../disk-options.ts';
import { asError } from '../refusal.ts';
import type { FileCalls, FileStatus } from './file-calls.ts';
import { lockImage } from './file-lock.ts';

/** An image that was found good and is locked. */
export interface OpenImage {
  readonly path: string;
  readonly fd: number;
  readonly calls: FileCalls;
}

/** Whom the lock of an image keeps away: every other writer, those who do not share, or nobody. */
export type ImageLocking = 'required' | 'shared' | 'none';

export interface OpenImagePlan {
  readonly path: string;
  readonly readOnly: boolean;
  readonly locking: ImageLocking;
  readonly signal: AbortSignal | undefined;
  readonly calls: FileCalls;
}

/** Opens, locks and checks a raw image; writes nothing. Throws TransportError that says what is wrong with the path. */
export async function openImage(plan: OpenImagePlan): Promise<{ image: OpenImage; bytes: number }> {
  const { path, readOnly, locking, signal, calls } = plan;
  signal?.throwIfAborted();
  // Before it is opened: opening a pipe would wait for somebody at its other end.
  checkKind(path, await named(path, calls.stat(path)));
  signal?.throwIfAborted();
  const fd = await named(path, calls.open(path, readOnly ? 'r' : 'r+'));
  try {
    signal?.throwIfAborted();
    if (locking !== 'none') lockImage(calls, fd, path, readOnly || locking === 'shared' ? 'shared' : 'exclusive');
    const image = { path, fd, calls };
    const bytes = imageBytes(image);
    signal?.throwIfAborted();
    return { image, bytes };
  } catch (error) {
    await calls.close(fd);
    throw error;
  }
}

/** The size of the file now. Throws TransportError when no disk can have it. */
export function imageBytes(image: OpenImage): number {
  const { path } = image;
  const status = imageStatus(image);
  checkKind(path, status);
  if (status.size === 0) {
    throw new TransportError(`Disk image ${path} is empty: give it a size first, for example with truncate -s 64M`);
  }
  if (status.size % sectorBytes !== 0) {
    throw new TransportError(
      `Disk image ${path} has ${status.size} bytes, which is not a multiple of 512: it is cut short, or no raw image. ` +
        `Get it again, or pad it with truncate -s ${Math.ceil(status.size / sectorBytes) * sectorBytes}`,
    );
  }
  return status.size;
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

/** For a request beyond the end of a file that somebody has cut off. */
export function shrunkError(path: string, request: DiskRequest): TransportError {
  return new TransportError(
    `Disk image ${path} has become smaller while it is in use: a ${request.operation} of ${request.length} bytes at ` +
      `${request.position} is beyond its end. Whoever cut it off is at fault; give it its size back, or call refresh()`,
  );
}

/** An error of the operating system, with the path and what to do. */
export function imageError(path: string, cause: Error): TransportError {
  const code = 'code' in cause ? cause.code : undefined;
  const advice = typeof code === 'string' ? advices[code] : undefined;
  return new TransportError(`Disk image ${path} ${advice ?? `cannot be used: ${cause.message}`}`, { cause });
}

const advices: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist: check the path, or make the file, for example with truncate -s 64M',
  ENOTDIR: 'does not exist, a part of its path is no folder: check the path',
  EACCES: 'may not be opened by this user: change its permissions, or open it read-only when it must not be written',
  EPERM: 'may not be written by this user: change its permissions, or open it read-only',
  EROFS: 'is on a read-only file system: open it read-only, or use a copy',
  ENOSPC: 'has no room to grow, its file system is full: free some space; the request failed and can be tried again',
  EDQUOT: 'has no room to grow, the quota is used up: free some space; the request failed and can be tried again',
  EIO: 'cannot be read or written, the medium reports an error: check the disk below it',
};

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
