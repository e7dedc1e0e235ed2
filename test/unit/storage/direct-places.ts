import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSystem } from '../../../src/storage/node/file-systems.ts';

/** A folder of this machine where single sectors of files are read past the page cache, by dd; undefined where there is none. */
export const directPlace: string | undefined = [tmpdir(), '/var/tmp'].find(isDirect);

if (directPlace === undefined) console.warn('skipped: direct access, as no folder for temporary files allows it');

function isDirect(place: string): boolean {
  let folder: string | undefined;
  try {
    // There it is allowed, and has no effect.
    if (statfsSync(place).type === FileSystem.TMPFS) return false;
    folder = mkdtempSync(join(place, 'virtio-direct-'));
    const file = join(folder, 'trial');
    writeFileSync(file, new Uint8Array(1024));
    return spawnSync('dd', [`if=${file}`, 'of=/dev/null', 'bs=512', 'iflag=direct']).status === 0;
  } catch {
    return false;
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  }
}
