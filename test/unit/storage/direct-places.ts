import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileDisk } from '../../../src/storage/file.ts';

/** A folder of this machine where files of any number of sectors can be used past the page cache; undefined where there is none. */
export const directPlace: string | undefined = await find();

if (directPlace === undefined) console.warn('skipped: direct access, as no folder for temporary files allows it');

async function find(): Promise<string | undefined> {
  for (const place of [tmpdir(), '/var/tmp']) {
    let folder: string | undefined;
    try {
      folder = mkdtempSync(join(place, 'virtio-direct-'));
      writeFileSync(join(folder, 'trial'), new Uint8Array(512));
      const disk = await openFileDisk(join(folder, 'trial'), { access: 'direct' });
      await disk.close();
      return place;
    } catch {
      // Not here.
    } finally {
      if (folder !== undefined) rmSync(folder, { recursive: true });
    }
  }
  return undefined;
}
