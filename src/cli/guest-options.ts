import { type Command, InvalidArgumentError } from 'commander';
import { type GuestFileOptions, type GuestFiles, guestFiles } from '../machine/guest-files.ts';
import type { OnProgress } from '../machine/progress.ts';

/** Options of every command that needs a guest. */
export interface GuestOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly bios?: string;
  readonly cache?: string;
}

export function addGuestOptions(command: Command): Command {
  return command
    .option('--kernel <file>', "a Linux kernel (bzImage, i386) instead of Debian's; with --initrd")
    .option('--initrd <file>', 'the initial ramdisk that `virtio guest` made for that kernel')
    .option('--bios <file>', 'a SeaBIOS image (bios-256k.bin) with vgabios-stdvga.bin beside it')
    .option('--cache <folder>', 'where downloads and booted guests are kept (default: $XDG_CACHE_HOME/virtio-ts)');
}

export function findGuestFiles(options: GuestOptions, onProgress: OnProgress): Promise<GuestFiles> {
  const { kernel, initrd, bios, cache } = options;
  const given: GuestFileOptions = {
    ...(kernel === undefined ? {} : { kernel }),
    ...(initrd === undefined ? {} : { initrd }),
    ...(bios === undefined ? {} : { bios }),
    ...(cache === undefined ? {} : { cacheFolder: cache }),
    onProgress,
  };
  return guestFiles(given);
}

/** For commander: a whole number from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`a whole number from ${least} on is needed.`);
    return value;
  };
}
