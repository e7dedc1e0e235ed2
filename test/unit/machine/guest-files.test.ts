import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { guestFiles } from '../../../src/machine/guest-files.ts';
import { moduleSets } from '../../../src/machine/initramfs.ts';
import type { ProgressStep } from '../../../src/machine/progress.ts';
import { TransportError } from '../../../src/spec/fault.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
let path: string | undefined;
beforeEach(() => {
  path = process.env['PATH'];
});
afterEach(() => vi.unstubAllEnvs());

/** A program that tests run instead of the real one. */
function fake(name: string, script: string): void {
  mkdirSync(folder.path('bin'), { recursive: true });
  const file = folder.path(`bin/${name}`);
  writeFileSync(file, `#!/bin/sh\n${script}`);
  chmodSync(file, 0o755);
  vi.stubEnv('PATH', `${folder.path('bin')}${delimiter}${path}`);
}

const MODULES = Object.values(moduleSets).flat().join(' ');

/** apt-get, apt-cache and dpkg-deb of a machine with a tiny archive. */
function fakeApt(): void {
  fake(
    'apt-get',
    `case "$*" in
*update) echo "$@" >${folder.path('update-called')}; echo 'dlstatus:1:50.0:half way' >&3 ;;
*) cd "$PWD"; for n in linux-image-6.1.0-9-686 busybox-static seabios; do echo $n >\${n}_1_i386.deb; done ;;
esac`,
  );
  fake('apt-cache', "echo 'Package: linux-image-686'; echo 'Depends: linux-image-6.1.0-9-686 (= 6.1-1), other'");
  fake(
    'dpkg-deb',
    `case $1 in
--field) echo "Package: $(cat "$2")"; echo 'Version: 6.1-1' ;;
-x) cd "$3"; case $(cat "$2") in
  linux*) mkdir -p boot lib/modules/6.1.0-9-686; echo kernel >boot/vmlinuz-6.1.0-9-686
    for m in ${MODULES}; do printf 'x\\0depends=\\0' >lib/modules/6.1.0-9-686/$m.ko; done ;;
  busybox*) mkdir -p bin; echo busybox >bin/busybox ;;
  seabios) mkdir -p usr/share/seabios; echo b >usr/share/seabios/bios-256k.bin; echo v >usr/share/seabios/vgabios-stdvga.bin ;;
  esac ;;
esac`,
  );
}

function given(name: string): string {
  writeFileSync(folder.path(name), name);
  return folder.path(name);
}

describe('the files of a guest, given', () => {
  it('are taken as they are, with the VGA BIOS that is next to the BIOS', async () => {
    const [kernel, initrd, bios, vgaBios] = ['kernel', 'initrd', 'bios', 'vgabios-stdvga.bin'].map(given);
    const files = await guestFiles({ kernel: kernel!, initrd: initrd!, bios: bios! });
    expect(files).toEqual({ kernel, initrd, bios, vgaBios, version: 'given: kernel' });
  });

  it('may do without a VGA BIOS', async () => {
    const [kernel, initrd, bios] = ['kernel', 'initrd', 'bios'].map(given);
    expect((await guestFiles({ kernel: kernel!, initrd: initrd!, bios: bios! })).vgaBios).toBeUndefined();
  });

  it('have a kernel and its ramdisk together', async () => {
    await expect(guestFiles({ kernel: given('kernel') })).rejects.toThrow(RangeError);
  });

  it('have to be there', async () => {
    const options = { kernel: given('kernel'), initrd: folder.path('none'), bios: given('bios') };
    await expect(guestFiles(options)).rejects.toThrow(/^cannot read .*none: ENOENT/);
  });
});

describe('the files of a guest, from Debian packages', () => {
  it('are downloaded and built once', async () => {
    fakeApt();
    const steps: ProgressStep[] = [];
    const options = { cacheFolder: folder.path('cache'), onProgress: (step: ProgressStep) => steps.push(step) };
    const files = await guestFiles(options);
    expect(files.version).toMatch(/^Debian 6\.1\.0-9-686 \(6\.1-1\), guest [0-9a-f]{16}$/);
    expect(readFileSync(files.kernel, 'utf8')).toBe('kernel\n');
    expect(readFileSync(files.bios, 'utf8')).toBe('b\n');
    const initrd = gunzipSync(readFileSync(files.initrd)).toString('latin1');
    for (const part of ['guest: waiting for go', 'lib/modules/virtio.list', 'lib/modules/ext4.ko', 'busybox\n']) {
      expect(initrd).toContain(part);
    }
    expect(steps).toContainEqual({ name: 'reading package lists', fraction: 0.5 });
    vi.stubEnv('PATH', folder.path('nowhere'));
    expect(await guestFiles(options)).toEqual(files);
    expect(readdirSync(folder.path('cache')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('are asked for with a state of their own, and without the hooks of the system', async () => {
    fakeApt();
    const copy = folder.path('apt.conf');
    fake('apt-cache', `cp "$2" ${copy}; echo 'Depends: linux-image-6.1.0-9-686'`);
    await guestFiles({ cacheFolder: folder.path('cache') });
    const configuration = readFileSync(copy, 'utf8');
    expect(configuration).toContain('#clear APT::Update::Post-Invoke;');
    expect(configuration).toContain('APT::Architecture "i386";');
    expect(configuration).toMatch(new RegExp(`Dir::State::Lists "${folder.path('cache')}/[^"]+/lists"`));
  });

  it('cannot be had without apt: what to do is said', async () => {
    vi.stubEnv('PATH', folder.path('nowhere'));
    const getting = guestFiles({ cacheFolder: folder.path('cache') });
    await expect(getting).rejects.toBeInstanceOf(TransportError);
    await expect(getting).rejects.toThrow(/the program apt-get is not on this machine.*--kernel, --initrd and --bios/);
    expect(readdirSync(folder.path('cache'))).toEqual([]);
  });

  it('cannot be had while apt fails: its own words are shown', async () => {
    fakeApt();
    fake('apt-get', "echo 'E: The mirror is asleep' >&2; exit 100");
    const getting = guestFiles({ cacheFolder: folder.path('cache') });
    await expect(getting).rejects.toThrow(/apt-get failed \(exit code 100\):\n {2}E: The mirror is asleep\n/);
    expect(existsSync(folder.path('cache/debian-i386'))).toBe(false);
  });

  it('do not need every source to answer', async () => {
    fakeApt();
    const script = readFileSync(folder.path('bin/apt-get'), 'utf8');
    fake('apt-get', `${script}\ncase "$*" in *update) exit 100 ;; esac`);
    expect((await guestFiles({ cacheFolder: folder.path('cache') })).version).toContain('Debian 6.1.0-9-686');
  });
});
