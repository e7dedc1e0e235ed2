import { closeSync, ftruncateSync, readlinkSync } from 'node:fs';
import { checked, libc } from './libc.ts';

const MFD_CLOEXEC = 1;

/** A file without a name, of `bytes` zeroes, that lives as long as it is open or mapped somewhere. The caller closes it. */
export function memfd(bytes: number): number {
  const fd = checked(libc().memfd_create('virtio', MFD_CLOEXEC), 'memfd_create', `${bytes} bytes`);
  try {
    ftruncateSync(fd, bytes);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** Closes a descriptor that was received. One that is not open is a mistake of the caller's. */
export function closeFd(fd: number): void {
  closeSync(fd);
}

/** What a descriptor is of, as the system says: a path, `socket:[1234]`, `anon_inode:[eventfd]`; empty when it is not open. */
export function kindOfFd(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}
