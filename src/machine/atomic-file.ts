import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { removeStale, temporaryName } from './cache-folder.ts';

/**
 * Writes a file that is there whole or not at all: under another name in the same folder, forced to the disk, renamed,
 * the folder forced to the disk. A file of that name that was there stays whole until the new one is; what an earlier
 * process left half written is removed.
 */
export async function writeFileAtomically(
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  await removeStale(path);
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx');
    try {
      for await (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
