import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import { type FileDiskOptions, openFileDisk } from '../../../src/storage/file.ts';
import { nodeFileCalls } from '../../../src/storage/node/file-calls.ts';
import { pattern } from './disk-model.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();

function image(name: string, length: number): string {
  const path = folder.path(name);
  writeFileSync(path, pattern(length, 1));
  return path;
}

/** Opening the path fails so, for writing and for reading. */
async function expectRefusal(path: string, message: string, options: FileDiskOptions = {}): Promise<void> {
  for (const readOnly of [false, true]) {
    const opening = openFileDisk(path, { ...options, readOnly });
    await expect(opening).rejects.toBeInstanceOf(TransportError);
    await expect(opening).rejects.toThrow(`Disk image ${path} ${message}`);
  }
}

function failingOpen(code: string): FileDiskOptions {
  const open = () => Promise.reject(Object.assign(new Error(`${code}: it failed`), { code }));
  return { calls: { ...nodeFileCalls, open } };
}

describe('opening an image that is no disk', () => {
  it('that is missing says so, and does not make it', async () => {
    await expectRefusal(folder.path('missing.img'), 'does not exist: check the path');
    expect(existsSync(folder.path('missing.img'))).toBe(false);
    await expectRefusal(`${image('file', 512)}/disk.img`, 'does not exist, a part of its path is no folder');
  });

  it('that is a folder, a socket or a device says so, without being opened: a pipe would wait for its other end', async () => {
    mkdirSync(folder.path('folder'));
    await expectRefusal(folder.path('folder'), 'is a folder: give the path of a file');
    const server = createServer().listen(folder.path('socket'));
    await once(server, 'listening');
    await expectRefusal(folder.path('socket'), 'is no regular file');
    server.close();
    await expectRefusal('/dev/zero', 'is no regular file', failingOpen('opened'));
  });

  it('that is empty says so', async () => {
    const path = image('empty.img', 0);
    await expectRefusal(path, 'is empty: give it a size');
    expect(statSync(path).size).toBe(0);
  });

  it('that is no whole number of sectors says how long it is and should be, and leaves it so', async () => {
    const path = image('odd.img', 1000);
    await expectRefusal(path, 'has 1000 bytes, which is not a multiple of 512');
    await expectRefusal(
      path,
      'has 1000 bytes, which is not a multiple of 512: it is cut short, or no raw image. Get it again, or pad it with truncate -s 1024',
    );
    expect(Buffer.compare(readFileSync(path), pattern(1000, 1))).toBe(0);
  });

  it('that may not be opened says what to change', async () => {
    const path = image('forbidden.img', 512);
    await expectRefusal(path, 'may not be opened by this user: change its permissions', failingOpen('EACCES'));
    await expectRefusal(path, 'is on a read-only file system: open it read-only', failingOpen('EROFS'));
    await expectRefusal(path, 'may not be written by this user', failingOpen('EPERM'));
    await expectRefusal(path, 'cannot be used: EMFILE: it failed', failingOpen('EMFILE'));
  });
});

describe('an opening that is aborted', () => {
  it('rejects with the reason, and leaves the file closed and unlocked', async () => {
    const path = image('aborted.img', 512);
    const reason = new Error('not wanted any more');
    await expect(openFileDisk(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);

    const aborter = new AbortController();
    const closed: number[] = [];
    const opening = openFileDisk(path, {
      signal: aborter.signal,
      calls: {
        ...nodeFileCalls,
        open: async (...asked) => {
          const fd = await nodeFileCalls.open(...asked);
          aborter.abort(reason);
          return fd;
        },
        close: (fd) => {
          closed.push(fd);
          return nodeFileCalls.close(fd);
        },
      },
    });
    await expect(opening).rejects.toBe(reason);
    expect(closed).toHaveLength(1);
    await (await openFileDisk(path)).close();
  });
});
