/** A machine moves from one QEMU to another while it works, and its disk from one back-end of ours to another. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { type ServerEvent, serveVhostUser, type VhostUserServer } from '../../src/hosts/vhost-user/server.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { vhostUserDisk } from './qemu-disk.ts';

describe.skipIf(!hasQemu)('a Linux that writes and checks files', () => {
  it.each(['split', 'packed'] as const)('is moved with its disk, on %s rings, and nothing is lost', async (format) => {
    const root = mkdtempSync(join(tmpdir(), 'virtio-migration-'));
    const disk = new MemoryDisk({ capacitySectors: (64 << 20) / 512 });
    const events: ServerEvent[] = [];
    const hosts: { readonly server: VhostUserServer; readonly machine: QemuMachine }[] = [];
    const incoming = join(root, 'incoming');
    const files = await guestFiles({ architecture: 'amd64' });
    const start = async (name: string, waits: { readonly incoming?: string }): Promise<(typeof hosts)[0]> => {
      const folder = mkdtempSync(join(root, `${name}-`));
      const path = join(folder, 'disk.sock');
      const device = (): BlockDevice => new BlockDevice(disk);
      const server = await serveVhostUser({ path, device, onEvent: (event) => events.push(event) });
      const args = vhostUserDisk(path, format);
      const machine = await QemuMachine.start({ files, folder, load: ['virtio'], args, ...waits });
      const host = { server, machine };
      hosts.push(host);
      return host;
    };
    try {
      const from = await start('from', {});
      const begun = 'load /dev/vda 2 8 >/tmp/load 2>&1 & while [ ! -e /tmp/sums/1.3 ]; do sleep 1; done';
      expect((await from.machine.command(begun, { timeoutMs: 120_000 })).exitCode).toBe(0);
      const to = await start('to', { incoming });
      await from.machine.monitor(`migrate -d unix:${incoming}`);
      let status: string | undefined = 'active';
      while (status !== 'completed' && status !== 'failed') {
        await new Promise((resolve) => setTimeout(resolve, 200));
        const said = await from.machine.monitor('info migrate');
        status = /Migration status: (\w+)/.exec(said)?.[1];
      }
      expect(status).toBe('completed');
      const servedBefore = (await from.server.status()).queues[0]!.served;
      const passed = await to.machine.command(
        'sleep 2; touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done; cat /tmp/load; verify',
        { timeoutMs: 120_000 },
      );
      expect(passed.output).toMatch(/verify: ok, \d+ files, 0 bad\n$/);
      expect(
        [...passed.output.matchAll(/stopped: \d+ files written and read back, (\d+) bad/g)].map(([, bad]) => bad),
      ).toEqual(['0', '0']);
      expect((await from.server.status()).queues[0]!.served, 'the one that it has left rests').toBe(servedBefore);
      expect((await to.server.status()).queues[0]!.served).toBeGreaterThan(10);
    } finally {
      for (const { machine, server } of hosts) {
        await machine.stop();
        await server.close(1000);
      }
      rmSync(root, { recursive: true });
    }
    expect(events.filter(({ event }) => event === 'failed' || event === 'rejected')).toEqual([]);
  });
});
