/** A machine moves from one QEMU to another while it works, and its disk from one `virtio serve` to another on the same image. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { control } from '../../src/cli/serve/control-socket.ts';
import type { DiskServerStatus } from '../../src/cli/serve/disk-server.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { type Running, start } from '../cli/virtio.ts';
import { complaints, diskSum, endOfLoad, output, startLoad } from '../guest/commanded-guest.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { canBeMapped } from '../unit/storage/mappable-places.ts';
import { vhostUserDisk } from './qemu-disk.ts';

/** A QEMU and the process with its disk. */
interface Host {
  readonly server: Running;
  readonly machine: QemuMachine;
  status(): Promise<DiskServerStatus>;
}

async function startHost(root: string, image: string, how: How, incoming?: string): Promise<Host> {
  const folder = mkdtempSync(join(root, 'host-'));
  const [socket, asked] = [join(folder, 'disk.sock'), join(folder, 'control')];
  const own = ['--image', image, '--shared', '--vhost-user', socket, '--control', asked];
  const server = start(['serve', 'block', ...own, '--queues', '2', ...how.more]);
  await server.says(/"event":"listening"/);
  const machine = await QemuMachine.start({
    ...{ files: await guestFiles({ architecture: 'amd64' }), folder, load: ['virtio'] },
    args: ['-smp', '2', ...vhostUserDisk(socket, how.format, { queues: 2 })],
    ...(incoming === undefined ? {} : { incoming }),
  });
  const status = async (): Promise<DiskServerStatus> => {
    return (await control(asked, { command: 'status' })) as DiskServerStatus;
  };
  return { server, machine, status };
}

async function migrate(from: QemuMachine, to: string): Promise<void> {
  await from.monitor(`migrate -d unix:${to}`);
  let status: string | undefined = 'active';
  while (status !== 'completed' && status !== 'failed') {
    await new Promise((resolve) => setTimeout(resolve, 200));
    status = /Migration status: (\w+)/.exec(await from.monitor('info migrate'))?.[1];
  }
  expect(status).toBe('completed');
}

interface How {
  readonly format: 'split' | 'packed';
  readonly more: readonly string[];
}

const ways: readonly How[] = [
  { format: 'split', more: [] },
  { format: 'packed', more: canBeMapped ? ['--mapped'] : [] },
];

describe.skipIf(!hasQemu)('a Linux that writes and checks files', () => {
  it.each(ways)('is moved with its disk, on $format rings, $more, and nothing is lost', async (how) => {
    const root = mkdtempSync(join(tmpdir(), 'virtio-migration-'));
    const image = join(root, 'image');
    writeFileSync(image, '');
    truncateSync(image, 64 << 20);
    const hosts: Host[] = [];
    try {
      const from = await startHost(root, image, how);
      hosts.push(from);
      await startLoad(from.machine);
      const incoming = join(root, 'incoming');
      const to = await startHost(root, image, how, incoming);
      hosts.push(to);
      await migrate(from.machine, incoming);
      const { disk: left } = await from.status();
      await output(to.machine, 'sleep 2');
      expect(await endOfLoad(to.machine)).toEqual({ bad: 0, verified: true });
      expect(await complaints(to.machine)).toBe('');
      expect((await from.status()).disk.counts, 'the one that it has left rests').toEqual(left.counts);
      const { counts } = (await to.status()).disk;
      expect(counts.write.requests).toBeGreaterThan(10);
      const inside = await diskSum(to.machine);
      expect(createHash('md5').update(readFileSync(image)).digest('hex')).toBe(inside);
    } finally {
      for (const { machine } of hosts) await machine.stop();
    }
    for (const { server } of hosts) {
      server.child.kill('SIGTERM');
      expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
      expect(server.stdout).not.toMatch(/"event":"(failed|rejected|disk-error)"/);
    }
    rmSync(root, { recursive: true });
  });
});
