import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

/** What is asked of a path or an open file before it is used as a disk. */
export interface FileStatus {
  readonly size: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** `direct` is past the page cache (O_DIRECT). */
export type FileAccess = 'cached' | 'direct';

type Transferred = (error: Error | null, count: number) => void;

/**
 * The calls of the operating system that a FileDisk makes; a test puts its own in their place. Those of every request
 * take callbacks, which cost less than promises.
 */
export interface FileCalls {
  stat(path: string): Promise<FileStatus>;
  open(path: string, flags: 'r' | 'r+', access: FileAccess): Promise<number>;
  close(fd: number): Promise<void>;
  ftruncate(fd: number, length: number): Promise<void>;
  /** Within the call: every write needs it, and a trip through the thread pool costs more than a write (45 against 5 us, measured). */
  fstat(fd: number): FileStatus;
  read(fd: number, bytes: Uint8Array, offset: number, length: number, position: number, done: Transferred): void;
  write(fd: number, bytes: Uint8Array, offset: number, length: number, position: number, done: Transferred): void;
  fdatasync(fd: number, done: (error: Error | null) => void): void;
  /** Makes the range a hole, which reads as zeroes; the size stays. Rejects where the file system has no holes. */
  punchHole(fd: number, position: number, length: number): Promise<void>;
  /** False when another open file has a lock that excludes this one. The lock ends with the open file. */
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean;
}

/** The part of the package fs-native-extensions that is used here; it brings no types of its own. */
interface NativeFile {
  tryLock(fd: number, offset: number, length: number, options: { readonly shared: boolean }): boolean;
  trim(fd: number, position: number, length: number): Promise<void>;
}

const require = createRequire(import.meta.url);

/** Loaded at the first use: where the addon has no build for the platform, only that use fails. */
function native(): NativeFile {
  return require('fs-native-extensions') as NativeFile;
}

const open = promisify(fs.open) as (path: string, flags: string | number) => Promise<number>;
/** Node has no letter for O_DIRECT. */
const NUMBERS = { r: fs.constants.O_RDONLY, 'r+': fs.constants.O_RDWR } as const;

export const nodeFileCalls: FileCalls = {
  stat: (path) => fsPromises.stat(path),
  open: (path, flags, access) => open(path, access === 'direct' ? NUMBERS[flags] | fs.constants.O_DIRECT : flags),
  close: promisify(fs.close),
  ftruncate: promisify(fs.ftruncate) as FileCalls['ftruncate'],
  fstat: (fd) => fs.fstatSync(fd),
  read: (fd, bytes, offset, length, position, done) => fs.read(fd, bytes, offset, length, position, done),
  write: (fd, bytes, offset, length, position, done) => fs.write(fd, bytes, offset, length, position, done),
  fdatasync: (fd, done) => fs.fdatasync(fd, done),
  punchHole: async (fd, position, length) => native().trim(fd, position, length),
  tryLock: (fd, mode) => native().tryLock(fd, 0, 0, { shared: mode === 'shared' }),
};
