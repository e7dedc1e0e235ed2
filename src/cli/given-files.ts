import { type FileHandle, open, stat } from 'node:fs/promises';
import { TransportError } from '../spec/fault.ts';

/** "HdrS", in the header of every bzImage (boot protocol of Linux on x86). */
const KERNEL_MAGIC = { at: 0x202, bytes: Buffer.from([0x48, 0x64, 0x72, 0x53]) };
const GZIP_MAGIC = { at: 0, bytes: Buffer.from([0x1f, 0x8b]) };
/** A far jump, the first instruction of a PC. */
const RESET_VECTOR = { fromEnd: 16, bytes: Buffer.from([0xea]) };

/** Files of the user's own, by option. */
export interface GivenFiles {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly bios?: string;
  readonly cache?: string;
}

/**
 * Throws TransportError for a file that cannot be what it is given as: with it a guest would hang without a word. What
 * cannot be read is left for those who read it.
 */
export async function checkGivenFiles({ kernel, initrd, bios, cache }: GivenFiles): Promise<void> {
  if (kernel !== undefined && !(await has(kernel, KERNEL_MAGIC))) throw refusal(kernel, 'no Linux kernel (bzImage)');
  if (initrd !== undefined && !(await has(initrd, GZIP_MAGIC))) throw refusal(initrd, 'no gzipped initial ramdisk');
  if (bios !== undefined && !(await has(bios, RESET_VECTOR))) throw refusal(bios, 'no BIOS image');
  const found = cache === undefined ? undefined : await stat(cache).catch(() => undefined);
  if (found?.isDirectory() === false) throw new TransportError(`${cache} is no folder for a cache`);
}

/** Whether a file has these bytes at their place; true as well when it cannot be read. */
async function has(path: string, magic: { at?: number; fromEnd?: number; bytes: Buffer }): Promise<boolean> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { size } = await file.stat();
    const position = magic.at ?? size - magic.fromEnd!;
    if (position < 0) return false;
    const { bytesRead, buffer } = await file.read(Buffer.alloc(magic.bytes.length), 0, magic.bytes.length, position);
    return bytesRead === magic.bytes.length && buffer.equals(magic.bytes);
  } catch {
    return true;
  } finally {
    await file?.close();
  }
}

function refusal(path: string, what: string): TransportError {
  return new TransportError(`${path} is ${what}`);
}
