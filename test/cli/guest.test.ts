/** Getting the guest: `virtio guest`, and guests of one's own. The first run downloads Debian packages. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type GuestFiles, guestKernel } from '../../src/machine/guest-files.ts';
import { suspendSourceTree } from '../../src/machine/suspend-modules.ts';
import { hasCompiler, virtio, withoutPrograms, workFolder } from './virtio.ts';

interface GuestReport extends GuestFiles {
  readonly booted: boolean;
  readonly seconds: number;
}

const folder = workFolder();
let report: GuestReport;
beforeAll(async () => {
  const { code, stdout, stderr } = await virtio(['guest', '--json']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  report = JSON.parse(stdout) as GuestReport;
});

/** Has these parts of the cache that the report is of. */
function elsewhere(name: string, kept: readonly string[] = []): NodeJS.ProcessEnv {
  return withoutPrograms(folder.path(name), dirname(dirname(report.kernel)), kept);
}

describe('virtio guest', () => {
  it('says where the files are and which version they have', () => {
    for (const file of [report.kernel, report.initrd, report.bios, report.vgaBios])
      expect(existsSync(file!)).toBe(true);
    expect(report.version).toMatch(/^Debian \S+-686\S* \(\S+\), guest [0-9a-f]{16}$/);
    expect(report.booted).toBe(true);
    expect(report.seconds).toBeGreaterThan(0);
  });

  it('has nothing to download, build or boot the second time', async () => {
    const { code, stdout, stderr } = await virtio(['guest', '--json']);
    expect(code).toBe(0);
    expect({ ...(JSON.parse(stdout) as GuestReport), seconds: 0 }).toEqual({ ...report, seconds: 0 });
    expect(stderr.match(/^› .*$/gm)).toEqual(['› restoring the booted guest', '› starting the guest']);
  });

  it('does not boot with --no-boot, and lists the files for people', async () => {
    const { code, stdout, stderr } = await virtio(['guest', '--no-boot']);
    expect(code).toBe(0);
    expect(stderr.match(/^› .*$/gm)).toBeNull();
    expect(stdout.split('\n')).toEqual([
      `kernel   ${report.kernel}`,
      `initrd   ${report.initrd}`,
      `bios     ${report.bios}`,
      `vgaBios  ${report.vgaBios}`,
      `version  ${report.version}`,
      '',
    ]);
  });

  it('writes its report to a file', async () => {
    const file = folder.path('guest.json');
    const { code, stdout } = await virtio(['guest', '--no-boot', '--json', file]);
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ kernel: report.kernel, booted: false });
    expect(stdout).toContain(report.kernel);
  });
});

describe.skipIf(!hasCompiler)('virtio guest --suspend', () => {
  it('has drivers that suspend, in an initial ramdisk of its own', async () => {
    const { code, stdout, stderr } = await virtio(['guest', '--suspend', '--json']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    const found = JSON.parse(stdout) as GuestReport;
    expect(found).toMatchObject({ booted: true, load: ['virtio-suspend'] });
    expect(found.initrd).not.toBe(report.initrd);
    expect(found.version.replace(/guest .*/, '')).toBe(report.version.replace(/guest .*/, ''));
    const second = await virtio(['guest', '--suspend', '--json', '--no-boot']);
    expect(JSON.parse(second.stdout)).toMatchObject({ initrd: found.initrd, booted: false });
    expect(second.stderr.match(/^› .*$/gm)).toBeNull();
  });

  it("--diff prints what is changed in the source of the guest's kernel, or in that of another one", async () => {
    const own = await virtio(['guest', '--suspend', '--diff']);
    expect(own.code).toBe(0);
    const files = [...own.stdout.matchAll(/^\+\+\+ b\/(.*)$/gm)].map(([, file]) => file);
    expect(files).toContain('drivers/virtio/virtio_suspend.c');
    expect(files).toContain('drivers/block/virtio_blk.c');
    expect(files).toContain('drivers/virtio/Makefile');
    expect(own.stdout).toMatch(/^\+\tVIRTIO_F_SUSPEND,$/m);

    const cacheFolder = dirname(dirname(report.kernel));
    const kernel = await guestKernel({ cacheFolder });
    const tree = await suspendSourceTree({ architecture: 'i386', kernel, cacheFolder });
    expect(await virtio(['guest', '--suspend', '--diff', tree])).toMatchObject({ code: 0, stdout: own.stdout });
    const nowhere = await virtio(['guest', '--suspend', '--diff', folder.path('nowhere')]);
    expect({ ...nowhere, stderr: '' }).toEqual({ code: 1, stdout: '', stderr: '' });
    expect(nowhere.stderr).toMatch(/\nvirtio: no kernel source tree: ENOENT/);
  });
});

describe('without gcc and make', () => {
  it('virtio guest --suspend says what is missing, and what to do', async () => {
    const environment = elsewhere('no-compiler', ['debian-i386']);
    const { code, stdout, stderr } = await virtio(['guest', '--suspend'], { environment });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const [, message] = /^virtio: (.*)$/m.exec(stderr)!;
    expect(message).toContain('this machine, which has no gcc and no make');
    expect(message).toContain('apt-get install gcc make');
    expect(message).toContain('without --suspend');
  });
});

describe('without apt-get and an empty cache', () => {
  it.each([['guest'], ['run', '--exec', 'true'], ['demo', '--cycles', '1']])(
    'virtio %s says what is missing and what to do, once',
    async (...args) => {
      const environment = elsewhere(`missing-${args[0]}`);
      const { code, stdout, stderr } = await virtio(args, { environment });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      const [, message] = /^virtio: (.*)$/m.exec(stderr)!;
      for (const part of ['apt-get', 'dpkg-deb', '--kernel', '--initrd', '--bios']) expect(message).toContain(part);
      expect(stderr.match(/apt-get is not on this machine/g)?.length).toBe(1);
      expect(readdirSync(join(environment['XDG_CACHE_HOME']!, 'virtio-ts'))).toEqual([]);
    },
  );
});

describe("files of one's own", () => {
  const own = (): string[] => ['--kernel', report.kernel, '--initrd', report.initrd, '--bios', report.bios];

  it('start a guest where there are no packages', async () => {
    const states = readdirSync(dirname(dirname(report.kernel))).filter((name) => name.startsWith('ready-'));
    const environment = elsewhere('own', states);
    const given = await virtio(['guest', '--no-boot', '--json', ...own()], { environment });
    expect(given.code).toBe(0);
    expect(JSON.parse(given.stdout)).toMatchObject({
      kernel: report.kernel,
      vgaBios: report.vgaBios,
      version: 'given: vmlinuz',
    });
    const { code, stdout } = await virtio(['run', '--disk', folder.image('own.img'), '--exec', 'uname -s', ...own()], {
      environment,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Linux\n' });
  });

  it('that have no drivers which suspend are not started with --suspend', async () => {
    const args = ['run', '--suspend', '--disk', folder.image('no-drivers.img'), '--exec', 'true', ...own()];
    const { code, stdout, stderr } = await virtio(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /\nvirtio: the guest has no driver for its disks: --suspend needs .* `virtio guest --suspend`/,
    );
  });

  it.each(['--kernel', '--initrd', '--bios'])('of which %s is missing are not there, by name', async (option) => {
    const args = own();
    args[args.indexOf(option) + 1] = folder.path('missing.bin');
    const { code, stdout, stderr } = await virtio(['guest', '--no-boot', ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^virtio: cannot read .*missing\.bin: ENOENT/m);
  });

  it.each([
    ['--kernel', 'is no Linux kernel (bzImage)'],
    ['--initrd', 'is no gzipped initial ramdisk'],
    ['--bios', 'is no BIOS image'],
  ])('of which %s is something else are refused, before a guest hangs without a word', async (option, message) => {
    const args = own();
    for (const bytes of [0, 300, 1 << 20]) {
      const file = folder.image('zeroes.bin', bytes);
      args[args.indexOf(option) + 1] = file;
      const { code, stderr } = await virtio(['guest', ...args]);
      expect(code).toBe(1);
      expect(stderr).toContain(`\nvirtio: ${file} ${message}\n`);
    }
  });

  it('are not kept where no folder is', async () => {
    const file = folder.image('file.bin');
    const { code, stderr } = await virtio(['guest', '--cache', file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`\nvirtio: ${file} is no folder for a cache\n`);
  });
});
