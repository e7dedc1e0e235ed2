/**
 * Linux in QEMU works on a disk that `virtio serve` has from nbdkit, which is killed and started again meanwhile: the guest sees no
 * error, and every byte is what was written.
 */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { start } from '../cli/virtio.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { vhostUserDisk } from '../vhost-user/qemu-disk.ts';
import { NbdProgram } from './nbd-program.ts';

const KILLS = 5;

describe.skipIf(!hasQemu)('Linux in QEMU on a disk that is elsewhere', () => {
  it(`loses nothing when its NBD server is killed ${KILLS} times`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-nbd-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [image, nbd, socket] = ['image', 'nbd', 'socket'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    closeSync(openSync(image, 'w'));
    truncateSync(image, 64 << 20);
    const server = await NbdProgram.nbdkit(nbd, 'file', image);
    const served = start(['serve', 'block', '--image', `nbd+unix:///?socket=${nbd}`, '--vhost-user', socket]);
    await served.says(/"event":"listening"/);
    const files = await guestFiles({ architecture: 'amd64' });
    const args = vhostUserDisk(socket, 'split');
    const machine = await QemuMachine.start({ files, folder, load: ['virtio'], args });
    onTestFinished(() => machine.stop());
    const output = async (line: string): Promise<string> => {
      const result = await machine.command(line, { timeoutMs: 120_000 });
      expect(result.exitCode, result.output).toBe(0);
      return result.output;
    };
    await output('mke2fs -F /dev/vda >/dev/null 2>&1');
    await output('load /dev/vda 3 8 >/tmp/log 2>&1 &');
    for (let kill = 0; kill < KILLS; kill++) {
      const from = served.stdout.length;
      await output('sleep 0.3');
      await server.kill();
      await server.start();
      await served.says(/"event":"nbd-reconnected"/, from);
    }
    await output('touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done');
    expect(await output('cat /tmp/log; verify')).not.toMatch(/not what was written|differ|error/i);
    expect(await output('tail -n 4 /tmp/log')).toMatch(/written and read back, 0 bad/);
    expect(await output('dmesg | grep -ci "error" || true')).toBe('0\n');
    served.child.kill('SIGTERM');
    expect(await served.ended).toMatchObject({ code: 0, stderr: '' });
    expect(served.stdout).not.toMatch(/"event":"(failed|disk-error)"/);
  });
});
