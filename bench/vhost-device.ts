import { BlockDevice, type Disk, type DiskRequest, defaultTopology } from 'virtio-ts/devices/block';
import { openMappedDisk } from 'virtio-ts/storage/mapped';

/** A disk that does nothing, at once: what is left is the way to it and back. */
class NullDisk implements Disk {
  readonly capacitySectors: number = 1 << 21;
  readonly readOnly = false;
  readonly identity = 'null';
  readonly topology: Disk['topology'] = defaultTopology;
  readonly supports: Disk['supports'] = { flush: true, discard: false, writeZeroes: false };
  onResize: (() => void) | undefined;

  submit(request: DiskRequest): void {
    request.complete();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The device of the vhost suite: an image in memory, or nothing at all. */
export default async ({ image }: { readonly image?: string }): Promise<{ type: BlockDevice }> => {
  return {
    type: new BlockDevice(image === undefined ? new NullDisk() : await openMappedDisk(image, { locking: 'none' })),
  };
};
