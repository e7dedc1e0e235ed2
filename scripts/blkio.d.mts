/** The paths of libblkio's examples and of qemu-storage-daemon; undefined when they are not there. */
export function blkioPrograms():
  | { readonly bench: string; readonly copy: string; readonly storageDaemon: string }
  | undefined;
/** Fetches and builds them if there are none; says what cannot be had. */
export function installBlkio(say?: (line: string) => void): void;
