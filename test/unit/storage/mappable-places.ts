import { accessSync, constants, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

const NAMES: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x0102_1994, 'tmpfs'],
]);

/** Folders of this machine where a mapped file can be written, one for each file system that is known to allow it. */
export const mappablePlaces: readonly { readonly name: string; readonly place: string }[] = find();

function find(): { readonly name: string; readonly place: string }[] {
  const found = new Map<string, string>();
  for (const place of [tmpdir(), '/dev/shm', '/var/tmp']) {
    try {
      accessSync(place, constants.W_OK);
      const name = NAMES.get(statfsSync(place).type);
      if (name !== undefined && !found.has(name)) found.set(name, place);
    } catch {
      // There is no such folder here.
    }
  }
  return [...found].map(([name, place]) => ({ name, place }));
}

/** Whether a file in the folder for temporary files can be: not every file system keeps room for what is written to memory. */
export const canBeMapped: boolean = mappablePlaces.some(({ place }) => place === tmpdir());
if (!canBeMapped)
  console.warn('skipped: images that are mapped, as the folder for temporary files is not on ext4 or tmpfs');
