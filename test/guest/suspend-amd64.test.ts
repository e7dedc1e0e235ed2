/** The drivers that suspend, for another kernel and another machine, whose devices do not offer it: all is as ever. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestFiles, guestKernel } from '../../src/machine/guest-files.ts';
import { buildSuspendModules, type SuspendModules } from '../../src/machine/suspend-modules.ts';
import { output as outputOf } from './commanded-guest.ts';
import { hasQemu, QemuMachine } from './qemu-machine.ts';

const LIMIT_MS = 600_000;
const architecture = 'amd64';
const NAMES = ['virtio_suspend', 'virtio_blk', 'virtio_net', 'virtio-rng', 'virtio_console'];

// Its packages are another 200 MB, so only where they are of use.
describe.skipIf(!hasQemu)('the drivers that suspend, for the amd64 cloud kernel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-qemu-'));
  let modules: SuspendModules;
  let machine: QemuMachine;
  beforeAll(async () => {
    const files = await guestFiles({ architecture, suspend: true });
    modules = await buildSuspendModules({ architecture, kernel: await guestKernel({ architecture }) });
    const disk = join(folder, 'disk');
    writeFileSync(disk, '');
    truncateSync(disk, 8 << 20);
    const load = ['virtio', 'entropy', 'console', 'net'].map((name) => `${name}-suspend`);
    const devices = [
      'virtio-blk-pci,drive=disk',
      'virtio-net-pci,netdev=net',
      'virtio-rng-pci',
      'virtio-serial-pci,max_ports=2',
    ];
    const args = [
      ...['-drive', `if=none,id=disk,format=raw,file=${disk}`, '-netdev', 'user,id=net,restrict=on'],
      ...devices.flatMap((device) => ['-device', `${device},disable-legacy=on`]),
      ...['-chardev', `file,id=printed,path=${join(folder, 'printed')}`, '-device', 'virtconsole,chardev=printed'],
    ];
    machine = await QemuMachine.start({ files, folder, load, args });
  }, LIMIT_MS);
  afterAll(async () => {
    await machine?.stop();
    rmSync(folder, { recursive: true });
  });

  function output(command: string): Promise<string> {
    return outputOf(machine, command);
  }

  async function expectAllToWork(): Promise<void> {
    const copy = 'dd if=/dev/urandom of=/tmp/data bs=64k count=16; dd if=/tmp/data of=/dev/vda oflag=direct bs=64k';
    await output(
      `(${copy}; dd if=/dev/vda of=/tmp/read iflag=direct bs=64k count=16) 2>/dev/null; cmp /tmp/data /tmp/read`,
    );
    expect(await output('dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c')).toBe('256\n');
    await output('ping -c 1 -W 20 10.0.2.2');
    const text = `printed ${Math.random()}`;
    await output(`echo ${text} >/dev/hvc0`);
    await expect.poll(() => readFileSync(join(folder, 'printed'), 'utf8')).toContain(text);
  }

  it('are built for it', async () => {
    const release = modules.kernel.name.replace('linux-image-', '');
    for (const name of NAMES) {
      const object = readFileSync(join(modules.folder, `${name}.ko`));
      expect(object.subarray(0, 5)).toEqual(Buffer.from('\u007fELF\u0002'));
      expect(object.includes(`vermagic=${release} `)).toBe(true);
    }
    expect(await output('uname -rm')).toBe(`${release} x86_64\n`);
  });

  it('are the ones that are loaded, and work', async () => {
    const loaded = await output("lsmod | awk '{ print $1 }'");
    for (const name of NAMES) expect(loaded.split('\n')).toContain(name.replace('-', '_'));
    await output('ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up');
    await expectAllToWork();
  });

  it('do not suspend a device that does not offer it', async () => {
    const features = (await output('cat /sys/bus/virtio/devices/*/features')).trimEnd().split('\n');
    expect(features.map((bits) => bits[43])).toEqual(['0', '0', '0', '0']);
    expect((await machine.command('ls /sys/bus/virtio/devices/*/suspend')).exitCode).toBe(1);
  });

  it('reset the devices to sleep, as ever, and all work again', async () => {
    const asleep = machine.command(
      'echo enabled >/sys/class/tty/ttyS0/power/wakeup; dmesg -n 8; echo freeze >/sys/power/state',
      { timeoutMs: 120_000 },
    );
    await machine.serial.waitFor(/PM: suspend entry|Freezing/, { timeoutMs: 60_000 });
    const waking = setInterval(() => machine.serial.send('\n'), 2000);
    try {
      expect(await asleep).toMatchObject({ exitCode: 0 });
    } finally {
      clearInterval(waking);
    }
    await expectAllToWork();
    expect(await output('dmesg | grep -B 12 -A 12 "I/O error\\|WARNING\\|BUG\\|Call Trace" || true')).toBe('');
  });
});
