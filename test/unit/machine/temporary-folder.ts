import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';

/** A new folder for each test of a file, removed after it. Call it at the top; `path` names a file in the folder. */
export function temporaryFolder(): { path(name?: string): string } {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'virtio-machine-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  return { path: (name = '') => join(folder, name) };
}
