/** The module of the worker that serves an image over vhost-user. */
import type { ServedDevice } from '../../hosts/vhost-user/worker.ts';
import { type DiskState, type ImageOptions, openImage } from './open-disk.ts';

export default async function vhostImage(options: ImageOptions): Promise<ServedDevice> {
  const { type, disk, resize, close } = await openImage(options);
  return { type, commands: { disk: (): DiskState => disk(), resize: (bytes: number) => resize(bytes) }, close };
}
