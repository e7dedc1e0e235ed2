import { BlockDevice } from 'virtio-ts/devices/block';
import { openFileDisk } from 'virtio-ts/storage/file';

/** A device for a thread: an image that is read and written by calls. */
export default async ({ image }: { readonly image: string }): Promise<{ type: BlockDevice }> => {
  return { type: new BlockDevice(await openFileDisk(image)) };
};
