import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { cachedFolder, defaultCacheFolder, removeStale, temporaryName } from '../../../src/machine/cache-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
afterEach(() => vi.unstubAllEnvs());

/** The id of a process that has ended. */
function deadProcess(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

describe('a cached folder', () => {
  it('is built once', async () => {
    const path = folder.path('cache/kernel');
    const build = vi.fn(async (target: string) => writeFileSync(join(target, 'file'), 'contents'));
    expect(await cachedFolder(path, build)).toBe(path);
    expect(await cachedFolder(path, build)).toBe(path);
    expect(build).toHaveBeenCalledTimes(1);
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('contents');
    expect(readdirSync(folder.path('cache'))).toEqual(['kernel']);
  });

  it('that was not built to its end is not there', async () => {
    const path = folder.path('kernel');
    const build = async (target: string): Promise<void> => {
      writeFileSync(join(target, 'half'), '');
      throw new Error('no space left');
    };
    await expect(cachedFolder(path, build)).rejects.toThrow('no space left');
    expect(readdirSync(folder.path())).toEqual([]);
  });

  it('that two build at once is one of the two, whole', async () => {
    const path = folder.path('kernel');
    let together = (): void => undefined;
    const both = new Promise<void>((resolve) => {
      together = resolve;
    });
    let started = 0;
    const build = (text: string) => async (target: string) => {
      if (++started === 2) together();
      await both;
      writeFileSync(join(target, 'a'), text);
      writeFileSync(join(target, 'b'), text);
    };
    await Promise.all([cachedFolder(path, build('one')), cachedFolder(path, build('two'))]);
    const [a, b] = ['a', 'b'].map((name) => readFileSync(join(path, name), 'utf8'));
    expect(a).toBe(b);
    expect(readdirSync(folder.path())).toEqual(['kernel']);
  });

  it('is in XDG_CACHE_HOME, or in .cache', () => {
    vi.stubEnv('XDG_CACHE_HOME', '/somewhere');
    expect(defaultCacheFolder()).toBe('/somewhere/virtio-ts');
    vi.stubEnv('XDG_CACHE_HOME', '');
    vi.stubEnv('HOME', '/home/someone');
    expect(defaultCacheFolder()).toBe('/home/someone/.cache/virtio-ts');
  });
});

describe('what was left half done', () => {
  it('by a process that is no more is removed, and nothing else', async () => {
    const path = folder.path('saved');
    const stale = [deadProcess(), process.pid].map((pid) => `.saved.${pid}-0123456789ab.tmp`);
    const other = `.other.${deadProcess()}-0123456789ab.tmp`;
    const parent = `.saved.${process.ppid}-0123456789ab.tmp`;
    const kept = [basename(temporaryName(path)), parent, other, '.saved.notes', 'saved'];
    for (const name of stale) mkdirSync(folder.path(name));
    writeFileSync(folder.path(`${stale[0]}/file`), '');
    for (const name of kept) writeFileSync(folder.path(name), '');
    await removeStale(path);
    expect(readdirSync(folder.path()).sort()).toEqual(kept.sort());
  });

  it('has names that differ each time and say whose they are', () => {
    const path = folder.path('saved');
    const name = temporaryName(path);
    expect(name).not.toBe(temporaryName(path));
    expect(name).toContain(`.saved.${process.pid}-`);
    expect(existsSync(name)).toBe(false);
  });
});
