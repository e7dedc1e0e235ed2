/** What `virtio run` says to images that are no disks, or are in use: nothing is booted, nothing is written. */
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openFileDisk } from '../../src/storage/file.ts';
import { type Running, start, virtio, workFolder } from './virtio.ts';

const folder = workFolder();

/** Runs with disks that cannot be had; the message, which comes once. */
async function refused(...disks: string[]): Promise<string> {
  const before = readdirSync(folder.path('.'));
  const save = ['--exec', 'true', '--save', folder.path('new.saved')];
  const args = ['run', ...disks.flatMap((disk) => ['--disk', disk]), ...save];
  const { code, stdout, stderr } = await virtio(args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).not.toContain('booting');
  expect(readdirSync(folder.path('.'))).toEqual(before);
  const lines = stderr.trimEnd().split('\n');
  expect(lines.slice(0, -1)).toEqual(['❯ Starting the guest', '✖ Starting the guest']);
  return lines.at(-1)!;
}

describe('an image that is no disk', () => {
  it('and does not exist is not made', async () => {
    const path = folder.path('missing.img');
    const advice = 'check the path, or make the file, for example with truncate -s 64M';
    for (const mode of ['', ':rw', ':ro']) {
      expect(await refused(path + mode)).toBe(`virtio: Disk image ${path} does not exist: ${advice}`);
    }
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    ['folder', 'is a folder: give the path of a file in it'],
    ['empty.img', 'is empty: give it a size first, for example with truncate -s 64M'],
    ['odd.img', 'has 1000 bytes, which is not a multiple of 512: .* truncate -s 1024$'],
    ['/dev/zero', 'is no regular file but a device, pipe or socket: copy it to a file'],
    ['empty.img/disk', 'does not exist, a part of its path is no folder: check the path'],
  ])('(%s) is named, with what to do', async (name, message) => {
    mkdirSync(folder.path('folder'), { recursive: true });
    folder.image('empty.img', 0);
    folder.image('odd.img', 1000);
    const path = name.startsWith('/') ? name : folder.path(name);
    expect(await refused(path)).toMatch(new RegExp(`^virtio: Disk image ${path} ${message}`));
  });

  it('among good ones lets go of those', async () => {
    const good = folder.image('good.img');
    expect(await refused(`${good}:rw`, folder.path('missing.img'))).toContain('missing.img');
    await (await openFileDisk(good, { readOnly: false })).close();
  });

  // A process with every right can open everything.
  it.skipIf(process.getuid?.() === 0)('because it may not be opened is named, with what to do', async () => {
    const path = folder.image('secret.img');
    chmodSync(path, 0);
    expect(await refused(path)).toMatch(/secret\.img may not be opened by this user: change its permissions/);
  });
});

describe('an image in use', () => {
  /** A machine that has the image until its input ends. */
  async function holder(disk: string): Promise<Running> {
    const running = start(['run', '--disk', disk]);
    await running.says(/✔ Starting the guest/);
    return running;
  }

  it('by one that writes is had by nobody else, until that ends by whatever signal', async () => {
    const image = folder.image('written.img');
    const running = await holder(`${image}:rw`);
    const inUse = `virtio: Disk image ${image} is in use: another disk`;
    for (const mode of ['', ':ro']) expect(await refused(image + mode)).toContain(`${inUse} has it open for writing`);
    const message = await refused(`${image}:rw`);
    expect(message).toContain(`${inUse} or machine has it open`);
    expect(message).toContain('Close that, open both read-only, or use a copy');
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: null });
    expect(running.child.signalCode).toBe('SIGTERM');
    await (await openFileDisk(image, { readOnly: false })).close();
  });

  it('by one that only reads can be read by others, and written by none', async () => {
    const image = folder.image('read.img');
    const running = await holder(image);
    expect(await refused(`${image}:rw`)).toContain(`virtio: Disk image ${image} is in use`);
    const args = ['run', '--disk', image, '--exec', 'echo as well'];
    expect(await virtio(args)).toMatchObject({ code: 0, stdout: 'as well\n' });
    running.child.kill('SIGINT');
    await running.ended;
    expect(running.child.signalCode).toBe('SIGINT');
    await (await openFileDisk(image, { readOnly: false })).close();
  });

  it('twice by one machine is refused when it writes', async () => {
    const image = folder.image('twice.img');
    for (const disks of [
      [`${image}:rw`, image],
      [image, `${image}:rw`],
      [`${image}:rw`, `${image}:rw`],
    ]) {
      expect(await refused(...disks)).toContain(`virtio: Disk image ${image} is in use`);
    }
  });
});
