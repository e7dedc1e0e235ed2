import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import { openFileDisk } from '../../../src/storage/file.ts';
import { nodeFileCalls } from '../../../src/storage/node/file-calls.ts';
import { pattern } from './disk-model.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();

function image(): string {
  const path = folder.path('shared.img');
  writeFileSync(path, pattern(4096, 1));
  return path;
}

describe('an image that is in use', () => {
  it('for writing is refused to writers and readers, until it is closed', async () => {
    const path = image();
    const writer = await openFileDisk(path);
    const second = openFileDisk(path);
    await expect(second).rejects.toBeInstanceOf(TransportError);
    await expect(second).rejects.toThrow(
      `Disk image ${path} is in use: another disk or machine has it open, in this process`,
    );
    await expect(openFileDisk(path, { readOnly: true })).rejects.toThrow('has it open for writing');
    expect(Buffer.compare(readFileSync(path), pattern(4096, 1))).toBe(0);
    await writer.close();
    await (await openFileDisk(path, { readOnly: true })).close();
    await (await openFileDisk(path)).close();
  });

  it('for reading is shared by readers and refused to writers, until the last one closed it', async () => {
    const path = image();
    const readers = [await openFileDisk(path, { readOnly: true }), await openFileDisk(path, { readOnly: true })];
    for (const reader of readers) {
      await expect(openFileDisk(path)).rejects.toThrow('is in use');
      await reader.close();
    }
    await (await openFileDisk(path)).close();
  });

  it('stays locked when the same file is opened and closed in another way', async () => {
    const path = image();
    const writer = await openFileDisk(path);
    readFileSync(path);
    await expect(openFileDisk(path)).rejects.toThrow('is in use');
    await expect(openFileDisk(path, { readOnly: true })).rejects.toThrow('is in use');
    await writer.close();
  });

  it('by those who share it is refused to those who do not, and the other way round', async () => {
    const path = image();
    const sharing = [await openFileDisk(path, { locking: 'shared' }), await openFileDisk(path, { locking: 'shared' })];
    await expect(openFileDisk(path)).rejects.toThrow('is in use');
    await sharing[0]!.close();
    await expect(openFileDisk(path)).rejects.toThrow('is in use');
    await sharing[1]!.close();
    const alone = await openFileDisk(path);
    await expect(openFileDisk(path, { locking: 'shared' })).rejects.toThrow('is in use');
    await alone.close();
  });

  it('is not noticed by those who want no lock', async () => {
    const path = image();
    const writer = await openFileDisk(path);
    const other = await openFileDisk(path, { locking: 'none' });
    await other.close();
    await writer.close();
  });

  it('cannot be told where there are no locks: then it is opened only by those who want none', async () => {
    const path = image();
    const tryLock = (): boolean => {
      throw new Error('no locks here');
    };
    const calls = { ...nodeFileCalls, tryLock };
    await expect(openFileDisk(path, { calls })).rejects.toThrow(`Cannot lock disk image ${path}: no locks here`);
    await (await openFileDisk(path, { calls, locking: 'none' })).close();
  });
});

describe('another process that has the image', () => {
  /** A process that holds it. Killed at the end of the test at the latest. */
  async function holder(path: string, mode: 'writable' | 'read-only'): Promise<ChildProcess> {
    const script = fileURLToPath(new URL('hold-image.mjs', import.meta.url));
    const child = spawn(process.execPath, [script, path, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [output] = await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')]);
    expect(String(output)).toBe('held\n');
    return child;
  }

  async function killed(child: ChildProcess): Promise<void> {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    expect(await exit).toEqual([null, 'SIGKILL']);
  }

  it('for writing excludes all others, and none from the moment it is killed', { timeout: 30_000 }, async () => {
    const path = image();
    const child = await holder(path, 'writable');
    await expect(openFileDisk(path)).rejects.toThrow('is in use');
    await expect(openFileDisk(path, { readOnly: true })).rejects.toThrow('is in use');
    await killed(child);
    await (await openFileDisk(path)).close();
  });

  it('for reading excludes writers, and none from the moment it is killed', { timeout: 30_000 }, async () => {
    const path = image();
    const child = await holder(path, 'read-only');
    await expect(openFileDisk(path)).rejects.toThrow('is in use');
    await (await openFileDisk(path, { readOnly: true })).close();
    await killed(child);
    await (await openFileDisk(path)).close();
  });
});
