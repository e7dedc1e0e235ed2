import { describe, expect, it } from 'vitest';
import { parseNbdUri } from '../../../../src/storage/nbd/uri.ts';
import { openNbdDisk } from '../../../../src/storage/nbd.ts';

describe('the address of an NBD server', () => {
  it.each([
    ['nbd://localhost', { at: { host: 'localhost', port: 10_809 }, exportName: '' }],
    ['nbd://10.0.0.1:99/disk', { at: { host: '10.0.0.1', port: 99 }, exportName: 'disk' }],
    ['nbd://[::1]/a%20b/c', { at: { host: '::1', port: 10_809 }, exportName: 'a b/c' }],
    ['nbd+unix:///?socket=/run/nbd.sock', { at: { path: '/run/nbd.sock' }, exportName: '' }],
    ['nbd+unix:///disk?socket=/run/a%20b', { at: { path: '/run/a b' }, exportName: 'disk' }],
  ])('%s is understood', (text, wanted) => {
    expect(parseNbdUri(text)).toEqual({ ...wanted, text });
  });

  it.each([
    ['disk.img', 'no URI'],
    ['nbd:///disk', 'names no host'],
    ['nbd+unix:///disk', 'names no socket'],
    ['nbd+unix://host/disk?socket=/x', 'three slashes'],
    ['nbds://host/disk', 'TLS is not spoken'],
    ['http://host/disk', 'neither nbd: nor nbd+unix:'],
    ['nbd://host/%zz', 'broken percent sign'],
  ])('%s is refused', async (text, why) => {
    expect(() => parseNbdUri(text)).toThrow(RangeError);
    await expect(openNbdDisk(text)).rejects.toThrow(why);
  });

  it('comes with a number of connections that can be', async () => {
    for (const connections of [0, 17, 1.5]) {
      await expect(openNbdDisk('nbd://localhost', { connections })).rejects.toThrow(RangeError);
    }
  });
});
