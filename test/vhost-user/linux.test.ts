/** Linux in QEMU with a disk of ours over vhost-user: what it writes is what we have, and what we have is what it reads. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { type ServerEvent, serveVhostUser, type VhostUserServer } from '../../src/hosts/vhost-user/server.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { readDisk, writeDisk } from '../../src/storage/direct-request.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { complaints, output as outputOf } from '../guest/commanded-guest.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { vhostUserDisk } from './qemu-disk.ts';

const DISK_BYTES = 64 << 20;

const sum = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

describe.skipIf(!hasQemu)('Linux in QEMU over vhost-user', () => {
  it.each(['split', 'packed'] as const)(
    'uses a disk with %s rings, two of them, and both see the same bytes',
    async (format) => {
      const folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
      const path = join(folder, 'disk.sock');
      const disk = new MemoryDisk({ capacitySectors: DISK_BYTES / 512 });
      const pattern = Buffer.from(
        Array.from({ length: 4096 }, (_, n) => createHash('md5').update(`${n}`).digest('hex')).join(''),
      );
      await writeDisk(disk, 16 << 20, pattern);
      const events: ServerEvent[] = [];
      const serve = (): Promise<VhostUserServer> => {
        return serveVhostUser({
          path,
          device: () => new BlockDevice(disk, { queues: 2 }),
          onEvent: (event) => events.push(event),
        });
      };
      let server = await serve();
      const files = await guestFiles({ architecture: 'amd64' });
      const machine = await QemuMachine.start({
        files,
        folder,
        load: ['virtio'],
        args: ['-smp', '2', ...vhostUserDisk(path, format, { reconnect: 'reconnect=1', queues: 2 })],
      });
      const output = (line: string): Promise<string> => outputOf(machine, line, 120_000);
      try {
        expect(await output('cat /sys/block/vda/size')).toBe(`${DISK_BYTES / 512}\n`);
        const features = await output('cat /sys/block/vda/device/features');
        expect(features[34]).toBe(format === 'packed' ? '1' : '0');
        const blocks = pattern.length / 65536;
        expect(
          await output(`dd if=/dev/vda bs=64k skip=256 count=${blocks} iflag=direct 2>/dev/null | md5sum`),
        ).toContain(sum(pattern));
        const written = await output(
          'dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null; dd if=/tmp/data of=/dev/vda bs=4k oflag=direct 2>/dev/null; md5sum </tmp/data',
        );
        expect(written).toContain(sum(await readDisk(disk, 0, 64 * 65536)));
        await output(
          'mke2fs -F /dev/vda >/dev/null 2>&1; load /dev/vda 2 4 >/tmp/log 2>&1 & sleep 3; touch /tmp/stop; wait; verify',
        );
        // As many segments as the device says there may be: more than there are entries in the queues that QEMU makes.
        await output('dd if=/dev/vda of=/dev/null bs=1M count=16 iflag=direct 2>/dev/null');
        // A queue for each processor.
        for (const processor of [1, 2]) {
          await output(`taskset ${processor} dd if=/dev/vda of=/dev/null bs=4k count=100 iflag=direct 2>/dev/null`);
        }
        const status = await server.status();
        expect(status).toMatchObject({ connected: true, failure: null, inFlight: 0 });
        const served = status.queues.map((queue) => queue.served);
        expect(served).toHaveLength(2);
        expect(Math.min(...served)).toBeGreaterThan(100);
        expect(served[0]! + served[1]!).toBeGreaterThan(1000);

        // The next server goes on with the device of the one before.
        await output('(while [ ! -e /tmp/enough ]; do cp /tmp/data /mnt/more; sync; done) >/dev/null 2>&1 &');
        await server.pause();
        const state = await server.save();
        await server.close();
        server = await serve();
        await server.restore(JSON.parse(JSON.stringify(state)));
        await server.continue();
        await output('sleep 1; touch /tmp/enough; echo 3 >/proc/sys/vm/drop_caches; verify');
        expect(await complaints(machine)).toBe('');
      } finally {
        await machine.stop();
        await server.close();
        rmSync(folder, { recursive: true });
      }
      expect(events[0]).toEqual({ event: 'connected' });
      expect(events.filter(({ event }) => event === 'failed')).toEqual([]);
    },
  );
});
