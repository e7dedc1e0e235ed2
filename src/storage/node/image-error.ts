import type { DiskRequest } from '../../devices/block/disk.ts';
import { TransportError } from '../../spec/fault.ts';

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
