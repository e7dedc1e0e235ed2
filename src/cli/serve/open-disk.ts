import { BlockDevice } from '../../devices/block/device.ts';
import type { DiskOperation } from '../../devices/block/disk.ts';
import { openFileDisk } from '../../storage/file.ts';
import { openMappedDisk } from '../../storage/mapped.ts';
import { CountedDisk, type DiskCounts } from './counted-disk.ts';

export const SECTOR_BYTES = 512;

export interface ImageOptions {
  readonly image: string;
  readonly readOnly: boolean;
  /** As a MappedDisk instead of a FileDisk. */
  readonly mapped: boolean;
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
  readonly counts: DiskCounts;
  readonly errors: number;
}

/** Opens what `--image` names. Throws TransportError. `onError` hears of requests that the disk could not do. */
export async function openImage(
  { image, readOnly, mapped, queues }: ImageOptions,
  onError: (operation: DiskOperation, error: Error) => void = () => {},
): Promise<ServedImage> {
  const file = await (mapped ? openMappedDisk : openFileDisk)(image, { readOnly });
  const counted = new CountedDisk(file);
  let errors = 0;
  const type = new BlockDevice(counted, {
    queues,
    onDiskError: (operation, error) => {
      errors++;
      onError(operation, error);
    },
  });
  return {
    type,
    disk: () => ({ bytes: counted.capacitySectors * SECTOR_BYTES, counts: counted.counts, errors }),
    resize: (bytes) => file.resize(bytes / SECTOR_BYTES),
    close: () => counted.close(),
  };
}
