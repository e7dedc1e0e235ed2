import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Insertion } from '../../../src/machine/source-insertions.ts';
import { buildSuspendModules, ModulesUnavailable, suspendDiff } from '../../../src/machine/suspend-modules.ts';
import { StateError, TransportError } from '../../../src/spec/fault.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
const ours = fileURLToPath(new URL('../../../contrib/linux/', import.meta.url));
const kernel = { name: 'linux-image-6.1.0-9-686', version: '6.1-1' };
afterEach(() => vi.unstubAllEnvs());

describe('without the programs that the modules are built with', () => {
  it.skipIf(process.arch !== 'x64')('says which are missing, and how they are had', async () => {
    const attempt = (): Promise<unknown> =>
      buildSuspendModules({ architecture: 'i386', kernel, cacheFolder: folder.path('cache') });
    mkdirSync(folder.path('bin'));
    vi.stubEnv('PATH', folder.path('bin'));
    await expect(attempt()).rejects.toThrow(ModulesUnavailable);
    await expect(attempt()).rejects.toThrow(/no gcc and no make .*: apt-get install gcc make binutils xz-utils/);
    for (const name of ['gcc', 'objcopy', 'xz']) {
      writeFileSync(folder.path(`bin/${name}`), '#!/bin/sh\n');
      chmodSync(folder.path(`bin/${name}`), 0o755);
    }
    await expect(attempt()).rejects.toThrow(/which has no make: apt-get install make,/);
    expect(readdirSync(folder.path('cache'))).toEqual([]);
  });
});

describe('the change to Linux', () => {
  it('is GPL-2.0, and says so in each of its files', () => {
    const files = readdirSync(ours, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.[ch]$|Kbuild$/.test(name),
    );
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      expect(readFileSync(join(ours, file), 'utf8').split('\n')[0]).toContain('SPDX-License-Identifier: GPL-2.0');
    }
  });

  it('inserts few lines into files of the kernel', () => {
    const insertions = JSON.parse(readFileSync(join(ours, 'insertions.json'), 'utf8')) as Insertion[];
    expect(insertions.flatMap(({ lines }) => lines).length).toBeLessThan(100);
    for (const { lines } of insertions) expect(lines.length).toBeLessThanOrEqual(6);
  });

  it('is not made for a folder without a source tree, or with one that is something else', async () => {
    await expect(suspendDiff(folder.path('nothing'))).rejects.toThrow(TransportError);
    for (const name of ['drivers/virtio/Makefile', 'drivers/block/virtio_blk.c']) {
      mkdirSync(join(folder.path('tree'), name, '..'), { recursive: true });
      writeFileSync(folder.path(`tree/${name}`), 'int other;\n');
    }
    await expect(suspendDiff(folder.path('tree'))).rejects.toThrow(StateError);
  });

  // As of Debian's linux-source-VERSION: VIRTIO_LINUX_SOURCE=DIR npx vitest run test/unit/machine/suspend-modules.test.ts
  const tree = process.env['VIRTIO_LINUX_SOURCE'];
  const canPatch = spawnSync('patch', ['--version']).status === 0;
  it.skipIf(tree === undefined || !canPatch)(
    `applies to the source tree ${tree ?? 'in VIRTIO_LINUX_SOURCE'}`,
    async () => {
      const diff = await suspendDiff(tree!);
      const said = execFileSync('patch', ['-p1', '--dry-run', '--fuzz=0', '-d', tree!], {
        input: diff,
        encoding: 'utf8',
      });
      expect(said).toContain('checking file drivers/virtio/Makefile');
      expect(said).not.toMatch(/FAILED|offset/);
    },
  );
});
