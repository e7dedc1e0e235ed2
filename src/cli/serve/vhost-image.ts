/** The module of the worker that serves an image over vhost-user. */
import type { ServedDevice } from '../../hosts/vhost-user/worker.ts';
import { type DiskState, type ImageEvent, type ImageOptions, openImage } from './open-disk.ts';

export default async function vhostImage(
  options: ImageOptions,
  tell: (what: ImageEvent) => void,
): Promise<ServedDevice> {
  const { type, disk, resize, close } = await openImage(options, tell);
  return { type, commands: { disk: (): DiskState => disk(), resize: (bytes: number) => resize(bytes) }, close };
}
