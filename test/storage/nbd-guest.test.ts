/**
 * Linux in QEMU works on a disk that `virtio serve` has from nbdkit, which is killed and started again meanwhile; then another
 * `virtio serve` goes on with the device of the first. The guest sees no error, and every byte is what was written.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { type Running, start, virtio } from '../cli/virtio.ts';
import { complaints, diskSum, endOfLoad, output, startLoad } from '../guest/commanded-guest.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { vhostUserDisk } from '../vhost-user/qemu-disk.ts';
import { NbdProgram } from './nbd-program.ts';

const KILLS = 5;

async function asked(...args: readonly string[]): Promise<void> {
  expect(await virtio(args)).toMatchObject({ code: 0, stderr: '' });
}

async function expectGoodEnd(served: Running): Promise<void> {
  served.child.kill('SIGTERM');
  expect(await served.ended).toMatchObject({ code: 0, stderr: '' });
  expect(served.stdout).not.toMatch(/"event":"(failed|disk-error)"/);
}

describe.skipIf(!hasQemu)('Linux in QEMU on a disk that is elsewhere', () => {
  it(`loses nothing when its NBD server is killed ${KILLS} times, and when its disk moves to another process`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-nbd-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = (name: string): string => join(folder, name);
    closeSync(openSync(path('image'), 'w'));
    truncateSync(path('image'), 64 << 20);
    const nbd = await NbdProgram.nbdkit(path('nbd'), 'file', path('image'));
    const serve = async (name: string): Promise<Running> => {
      const own = ['--vhost-user', path(name), '--control', path(`${name}.control`)];
      const running = start(['serve', 'block', '--image', `nbd+unix:///?socket=${path('nbd')}`, ...own]);
      await running.says(/"event":"listening"/);
      return running;
    };
    /** QEMU is told of a name that leads to whoever serves. */
    const leadTo = (name: string): void => {
      symlinkSync(name, path('next'));
      renameSync(path('next'), path('disk'));
    };
    const first = await serve('first');
    leadTo('first');
    const files = await guestFiles({ architecture: 'amd64' });
    const args = vhostUserDisk(path('disk'), 'split', { reconnect: 'reconnect=1' });
    const machine = await QemuMachine.start({ files, folder, load: ['virtio'], args });
    onTestFinished(() => machine.stop());
    await startLoad(machine);
    for (let kill = 0; kill < KILLS; kill++) {
      const from = first.stdout.length;
      await output(machine, 'sleep 0.3');
      await nbd.kill();
      await nbd.start();
      await first.says(/"event":"nbd-reconnected"/, from);
    }

    await asked('pause', path('first.control'));
    await asked('save', path('first.control'), path('state'));
    const second = await serve('second');
    await expectGoodEnd(first);
    await asked('restore', path('second.control'), path('state'));
    leadTo('second');
    await second.says(/"event":"connected"/);
    await asked('continue', path('second.control'));
    await output(machine, 'sleep 1');
    expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
    expect(await complaints(machine)).toBe('');
    const inside = await diskSum(machine);
    expect(
      createHash('md5')
        .update(readFileSync(path('image')))
        .digest('hex'),
    ).toBe(inside);
    await expectGoodEnd(second);
  });
});
