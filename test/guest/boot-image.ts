import { execFileSync } from 'node:child_process';
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import type { GuestFiles } from '../../src/machine/guest-files.ts';
import { hasProgram } from '../support/programs.ts';
import { KERNEL_COMMAND_LINE } from './qemu-machine.ts';

export const canMakeBootImages: boolean = [hasProgram('syslinux', 'syslinux'), hasProgram('mcopy', 'mtools')].every(
  Boolean,
);

/** Makes a disk that a PC starts a guest from: a boot loader, a kernel and an initial ramdisk, in a FAT file system. No root needed. */
export function makeBootImage(image: string, bytes: number, files: GuestFiles): void {
  writeFileSync(image, '');
  truncateSync(image, bytes);
  const copy = (from: string, to: string): void => void execFileSync('mcopy', ['-i', image, from, `::${to}`]);
  execFileSync('mformat', ['-i', image, '-T', `${bytes / 512}`, '::']);
  execFileSync('syslinux', ['--install', image]);
  copy(files.kernel, 'vmlinuz');
  copy(files.initrd, 'initrd.gz');
  const settings = `${image}.cfg`;
  writeFileSync(
    settings,
    `DEFAULT linux\nLABEL linux\nKERNEL vmlinuz\nINITRD initrd.gz\nAPPEND ${KERNEL_COMMAND_LINE}\n`,
  );
  copy(settings, 'syslinux.cfg');
}

/** What is read at least to start it. */
export function bytesToBoot({ kernel, initrd }: GuestFiles): number {
  return statSync(kernel).size + statSync(initrd).size;
}
