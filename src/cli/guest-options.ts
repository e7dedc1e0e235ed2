import type { Command } from 'commander';
import { type GuestFileOptions, type GuestFiles, guestFiles } from '../machine/guest-files.ts';
import type { OnProgress } from '../machine/progress.ts';
import { fileName } from './argument.ts';
import { checkGivenFiles } from './given-files.ts';

/** Options of every command that needs a guest. */
export interface GuestOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly bios?: string;
  readonly cache?: string;
  readonly suspend?: boolean;
}

export function addGuestOptions(command: Command): Command {
  return command
    .option('--kernel <file>', "a Linux kernel (bzImage, i386) instead of Debian's; with --initrd", fileName)
    .option('--initrd <file>', 'the initial ramdisk that `virtio guest` made for that kernel', fileName)
    .option('--bios <file>', 'a SeaBIOS image (bios-256k.bin) with vgabios-stdvga.bin beside it', fileName)
    .option(
      '--cache <folder>',
      'where downloads and booted guests are kept (default: $XDG_CACHE_HOME/virtio-ts)',
      fileName,
    )
    .hook('preAction', () => {
      const { kernel, initrd } = command.opts<GuestOptions>();
      if ((kernel === undefined) === (initrd === undefined)) return;
      const [given, missing] = initrd === undefined ? ['--kernel', '--initrd'] : ['--initrd', '--kernel'];
      command.error(`error: ${given} needs ${missing}: a kernel and its initial ramdisk belong together.`);
    });
}

export function addSuspendOption(command: Command): Command {
  return command.option(
    '--suspend',
    "drivers that suspend their devices (VIRTIO_F_SUSPEND) in place of Debian's; built here, with gcc and make",
  );
}

export async function findGuestFiles(options: GuestOptions, onProgress: OnProgress): Promise<GuestFiles> {
  await checkGivenFiles(options);
  const { kernel, initrd, bios, cache, suspend } = options;
  const given: GuestFileOptions = {
    ...(kernel === undefined ? {} : { kernel }),
    ...(initrd === undefined ? {} : { initrd }),
    ...(bios === undefined ? {} : { bios }),
    ...(cache === undefined ? {} : { cacheFolder: cache }),
    ...(suspend === undefined ? {} : { suspend }),
    onProgress,
  };
  return guestFiles(given);
}
