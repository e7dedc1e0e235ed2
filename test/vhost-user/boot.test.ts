/** A PC in QEMU that has nothing to start from but a disk of `virtio serve`: its firmware, a boot loader and Linux read it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import { control } from '../../src/cli/serve/control-socket.ts';
import type { DiskServerStatus } from '../../src/cli/serve/disk-server.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { start } from '../cli/virtio.ts';
import { bytesToBoot, canMakeBootImages, makeBootImage } from '../guest/boot-image.ts';
import { complaints, diskSum, output } from '../guest/commanded-guest.ts';
import { hasQemu, QemuMachine, type QemuOptions } from '../guest/qemu-machine.ts';
import { vhostUserDisk } from './qemu-disk.ts';

const DISK_BYTES = 32 << 20;
const newer = newerQemu();
if (newer === undefined) console.warn('skipped: to start over vfio-user; `node scripts/newer-qemu.mjs` fetches a QEMU');

interface Way {
  readonly protocol: 'vhost-user' | 'vfio-user';
  readonly format: 'split' | 'packed';
}

const ways: readonly Way[] = [
  ...(hasQemu ? (['split', 'packed'] as const).map((format) => ({ protocol: 'vhost-user' as const, format })) : []),
  // The whole function is ours, and offers packed rings.
  ...(newer === undefined ? [] : [{ protocol: 'vfio-user' as const, format: 'packed' as const }]),
];

function qemuOf({ protocol, format }: Way, socket: string): Pick<QemuOptions, 'args' | 'program' | 'sharedMemory'> {
  if (protocol === 'vhost-user') return { args: vhostUserDisk(socket, format, { boot: true }) };
  const device = { driver: 'vfio-user-pci', socket: { type: 'unix', path: socket }, 'x-msg-timeout': 60_000 };
  const args = ['-device', JSON.stringify({ ...device, bootindex: 0 })];
  return { args, program: newer!, sharedMemory: true };
}

describe.skipIf(!canMakeBootImages)('a machine with nothing but a disk of ours', () => {
  it.each(ways)('starts from it over $protocol, then uses it with $format rings', async (way) => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-boot-'));
    const [image, socket, asked] = ['image', 'socket', 'control'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const files = await guestFiles({ architecture: 'amd64' });
    makeBootImage(image, DISK_BYTES, files);
    const server = start(['serve', 'block', '--image', image, `--${way.protocol}`, socket, '--control', asked]);
    await server.says(/"event":"listening"/);
    let machine: QemuMachine | undefined;
    try {
      const qemu = qemuOf(way, socket);
      machine = await QemuMachine.start({ ...qemu, startsFrom: 'disk', files, folder, load: ['virtio'] });
      const { disk } = (await control(asked, { command: 'status' })) as DiskServerStatus;
      expect(disk.counts.read.bytes).toBeGreaterThan(bytesToBoot(files));
      expect((await output(machine, 'cat /sys/block/vda/device/features'))[34]).toBe(
        way.format === 'packed' ? '1' : '0',
      );
      // The last MiB is nobody's.
      await output(machine, 'dd if=/dev/urandom of=/dev/vda bs=1M seek=31 count=1 oflag=direct 2>/dev/null');
      const inside = await diskSum(machine);
      expect(createHash('md5').update(readFileSync(image)).digest('hex')).toBe(inside);
      expect(
        readFileSync(image)
          .subarray(31 << 20)
          .every((byte) => byte === 0),
      ).toBe(false);
      expect(await complaints(machine)).toBe('');
    } finally {
      await machine?.stop();
    }
    server.child.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
    rmSync(folder, { recursive: true });
  });
});
