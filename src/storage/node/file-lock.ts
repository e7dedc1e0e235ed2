import { TransportError } from '../../spec/fault.ts';
import { asError } from '../refusal.ts';
import type { FileCalls } from './file-calls.ts';

/**
 * Keeps two writers, or a writer and readers, from using one image.
 *
 * The kernel's lock of the whole open file (an open file description lock on Linux, flock on macOS, LockFileEx on
 * Windows): it ends with the process that holds it, however that ends, so nothing is left to clean up and nobody waits;
 * it needs no second file, so a base image in a read-only folder can be shared; and two disks of one process exclude
 * each other like those of two. Node itself has no call for it. The package fs-native-extensions has, and carries its
 * builds within itself; the lock packages without an addon keep a folder with a time in it beside the file, and make
 * everybody wait for it after a crash.
 *
 * The lock is advisory: programs that do not lock are not kept out. QEMU's own locks meet these on Linux (tried with 7.2):
 * QEMU does not open an image that a disk has, and a writable disk not one that QEMU has; only a read-only disk does
 * not notice a QEMU that writes.
 */
export function lockImage(calls: FileCalls, fd: number, path: string, mode: 'shared' | 'exclusive'): void {
  let isLocked: boolean;
  try {
    isLocked = calls.tryLock(fd, mode);
  } catch (cause) {
    throw new TransportError(
      `Cannot lock disk image ${path}: ${asError(cause).message}. The platform or the ` +
        "file system has no locks; open it with locking: 'none' when you are sure that nothing else uses it",
      { cause },
    );
  }
  if (isLocked) return;
  throw new TransportError(
    mode === 'exclusive'
      ? `Disk image ${path} is in use: another disk or machine has it open, in this process or another. Close that, open both ` +
          'read-only, or use a copy'
      : `Disk image ${path} is in use: another disk has it open for writing, in this process or another. Close that, ` +
          'or use a copy',
  );
}
