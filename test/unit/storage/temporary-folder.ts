import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** A folder for the tests of one file, removed after them. Call it at the top of the file; `path` names a file in it. */
export function temporaryFolder(place: string = tmpdir()): { path(name: string): string } {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(place, 'virtio-storage-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  return { path: (name) => join(folder, name) };
}
