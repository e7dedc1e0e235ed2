/** What `virtio serve` says of a command line, or of an image, that is none. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { virtio, workFolder } from './virtio.ts';

const folder = workFolder();

const image = folder.image('usage.img');

describe('a command line', () => {
  it.each([
    ['without a protocol', ['--image', image], /one of --vhost-user and --vfio-user is needed/],
    ['with both', ['--image', image, '--vhost-user', 'a', '--vfio-user', 'b'], /one of --vhost-user and --vfio-user/],
    ['with an address that is none', ['--image', 'nbds://host', '--vhost-user', 'a'], /TLS is not spoken here/],
    [
      'with a server that is mapped',
      ['--image', 'nbd://host', '--mapped', '--vhost-user', 'a'],
      /--mapped is for files/,
    ],
    [
      'with a server past the page cache',
      ['--image', 'nbd://host', '--direct', '--vhost-user', 'a'],
      /--direct is for files/,
    ],
    [
      'with a server that is shared',
      ['--image', 'nbd://host', '--shared', '--vhost-user', 'a'],
      /--shared is for files/,
    ],
    ['by memory and past it', ['--image', image, '--mapped', '--direct', '--vhost-user', 'a'], /one of them/],
    ['without an image', ['--vhost-user', 'a'], /required option '--image/],
    ['with no queues', ['--image', image, '--vhost-user', 'a', '--queues', '0'], /from 1 to 64/],
    ['with a port that is none', ['--image', image, '--vhost-user', 'a', '--metrics', '70000'], /ports go up to/],
    [
      'that records over vhost-user',
      ['--image', image, '--vhost-user', 'a', '--trace', 't'],
      /--trace goes with --vfio/,
    ],
    ['that polls over vfio-user', ['--image', image, '--vfio-user', 'a', '--poll-us', '5'], /--poll-us goes with/],
  ])('%s is refused', async (_, args, message) => {
    const { code, stdout, stderr } = await virtio(['serve', 'block', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it.each([
    ['that is not there', '/nonexistent/disk.img', /nonexistent/],
    ['on a server that is not there', 'nbd+unix:///?socket=/nonexistent/nbd', /NBD server .*ENOENT/],
    ['that is a folder', '/tmp', /\/tmp/],
  ])('with an image %s is an error', async (_, path, message) => {
    const { code, stderr } = await virtio(['serve', 'block', '--image', path, '--vhost-user', folder.path('unused')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it.each([
    ['over its image', image, /it is the disk image/],
    ['in no folder', '/nonexistent/trace.jsonl', /there is no folder/],
  ])('with a trace %s is an error, and the image stays as it is', async (_, path, message) => {
    const before = readFileSync(image);
    const args = ['serve', 'block', '--image', image, '--vfio-user', folder.path('unused'), '--trace', path];
    const { code, stdout, stderr } = await virtio(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(readFileSync(image).equals(before)).toBe(true);
  });
});
