import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { KernelModules, neededBy } from '../../../src/machine/kernel-modules.ts';
import { TransportError } from '../../../src/spec/fault.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();

/** An object file as far as it matters: its description among other bytes. */
function object(depends: string): Buffer {
  return Buffer.from(`\x7fELF\0code with depends=nothing,here in it\0license=GPL\0depends=${depends}\0retpoline=Y\0`);
}

function put(path: string, bytes: Buffer): void {
  const file = folder.path(path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
}

async function order(names: string[]): Promise<string[]> {
  const modules = await KernelModules.in(folder.path());
  return (await modules.inLoadOrder(names)).map(({ name }) => name);
}

describe('kernel modules', () => {
  it('say in their description what they need', () => {
    expect(neededBy(object('virtio_ring,virtio'))).toEqual(['virtio_ring', 'virtio']);
    expect(neededBy(object('t10-pi'))).toEqual(['t10_pi']);
    expect(neededBy(object(''))).toEqual([]);
    expect(neededBy(Buffer.from('no description'))).toEqual([]);
  });

  it('come after what they need, each once', async () => {
    put('drivers/virtio/virtio_pci.ko', object('virtio_ring,virtio'));
    put('drivers/virtio/virtio_ring.ko', object('virtio'));
    put('drivers/virtio/virtio.ko', object(''));
    put('drivers/block/virtio_blk.ko', object('virtio,virtio_ring'));
    expect(await order(['virtio_blk', 'virtio_pci'])).toEqual(['virtio', 'virtio_ring', 'virtio_blk', 'virtio_pci']);
  });

  it('are found by either spelling of their name, compressed or not', async () => {
    put('a/t10-pi.ko.gz', gzipSync(object('crc-t10dif')));
    put('b/crc-t10dif.ko', object(''));
    const modules = await KernelModules.in(folder.path());
    const [crc, pi] = await modules.inLoadOrder(['t10-pi']);
    expect([crc?.name, pi?.name]).toEqual(['crc_t10dif', 't10_pi']);
    expect(Buffer.from(pi!.object)).toEqual(object('crc-t10dif'));
  });

  it('that the kernel itself has are left out', async () => {
    put('modules.builtin', Buffer.from('kernel/lib/crc16.ko\nkernel/crypto/crc32c-generic.ko\n'));
    put('ext4.ko', object('crc16,jbd2'));
    put('jbd2.ko', object(''));
    expect(await order(['crc32c_generic', 'ext4'])).toEqual(['jbd2', 'ext4']);
  });

  it('that are missing are named', async () => {
    put('virtio_blk.ko', object('virtio'));
    await expect(order(['virtio_blk'])).rejects.toThrow(new TransportError('the kernel package has no module virtio'));
  });
});
