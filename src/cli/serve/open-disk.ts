import { BlockDevice } from '../../devices/block/device.ts';
import type { Disk } from '../../devices/block/disk.ts';
import { StateError } from '../../spec/fault.ts';
import { isNbdUri } from '../../storage/nbd/uri.ts';
import type { NbdEvent } from '../../storage/nbd.ts';
import { CountedDisk, type DiskCounts } from './counted-disk.ts';
import { DiskErrors } from './disk-errors.ts';

export const SECTOR_BYTES = 512;

/** How a file is read and written: by calls through the page cache, by memory, or past the page cache. */
export type ImageAccess = 'cached' | 'mapped' | 'direct';

export interface ImageOptions {
  /** The path of a raw image, or the URI of an NBD server. */
  readonly image: string;
  readonly readOnly: boolean;
  readonly access: ImageAccess;
  /** Another server may have it open, too. */
  readonly shared: boolean;
  readonly queues: number;
}

/** What is served: an image as a block device, and what it counts. */
export interface ServedImage {
  readonly type: BlockDevice;
  disk(): DiskState;
  /** Throws when this image cannot have that size. */
  resize(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface DiskState {
  readonly bytes: number;
  /** Also where an NBD server has it so. */
  readonly readOnly: boolean;
  readonly counts: DiskCounts;
  readonly errors: number;
}

/** Something that is worth a line in a log. */
export type ImageEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Opens what `--image` names. Throws TransportError, RangeError for what is no address of a server. */
export async function openImage(options: ImageOptions, onEvent: (event: ImageEvent) => void): Promise<ServedImage> {
  const { disk, resize } = await openDisk(options, onEvent);
  const counted = new CountedDisk(disk);
  const errors = new DiskErrors(onEvent);
  const type = new BlockDevice(counted, {
    queues: options.queues,
    onDiskError: (operation, error) => errors.add(operation, error),
  });
  return {
    type,
    disk: () => {
      const { capacitySectors, readOnly, counts } = counted;
      return { bytes: capacitySectors * SECTOR_BYTES, readOnly, counts, errors: errors.count };
    },
    resize,
    close: () => counted.close(),
  };
}

/** Only what is used is loaded. */
async function openDisk(
  { image, readOnly, access, shared }: ImageOptions,
  onEvent: (event: ImageEvent) => void,
): Promise<{ readonly disk: Disk; readonly resize: (bytes: number) => Promise<void> }> {
  if (isNbdUri(image)) {
    const resize = (): Promise<void> =>
      Promise.reject(
        new StateError(`${image} is resized by its server: what it has when it is connected is taken over`),
      );
    const tell = ({ kind, ...details }: NbdEvent): void => onEvent({ event: `nbd-${kind}`, ...details });
    const { openNbdDisk } = await import('../../storage/nbd.ts');
    return { disk: await openNbdDisk(image, { readOnly, onEvent: tell }), resize };
  }
  const locking = shared ? 'shared' : 'required';
  const disk = await (access === 'mapped'
    ? (await import('../../storage/mapped.ts')).openMappedDisk(image, { readOnly, locking })
    : (await import('../../storage/file.ts')).openFileDisk(image, { readOnly, access, locking }));
  return { disk, resize: (bytes) => disk.resize(bytes / SECTOR_BYTES) };
}
