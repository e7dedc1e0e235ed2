/** Where what is downloaded and built is kept between runs, and how it gets there whole. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** `virtio-ts` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache). */
export function defaultCacheFolder(): string {
  const root = process.env['XDG_CACHE_HOME'];
  return join(root === undefined || root === '' ? join(homedir(), '.cache') : root, 'virtio-ts');
}

/**
 * A folder that is either not there or complete. The first to need it builds it under another name and renames it;
 * of two processes that do so at once the second one throws its own away.
 */
export async function cachedFolder(path: string, build: (folder: string) => Promise<void>): Promise<string> {
  if (await exists(path)) return path;
  await mkdir(dirname(path), { recursive: true });
  await removeStale(path);
  const folder = temporaryName(path);
  await mkdir(folder);
  try {
    await build(folder);
    await rename(folder, path);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    if (!(await exists(path))) throw error;
  }
  return path;
}

/** The temporary names that this process has given away. */
const ownNames = new Set<string>();

/** A name next to `path` that says which process uses it. */
export function temporaryName(path: string): string {
  const name = `.${basename(path)}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  ownNames.add(name);
  return join(dirname(path), name);
}

/** Removes what processes that are no more have left next to `path` under temporary names. */
export async function removeStale(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix)) continue;
    const pid = /^(\d+)-[0-9a-f]{12}\.tmp$/.exec(name.slice(prefix.length))?.[1];
    if (pid === undefined || ownNames.has(name)) continue;
    // A process of our own number that is not this one is no more: in containers the same numbers come again.
    if (Number(pid) !== process.pid && isAlive(Number(pid))) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
