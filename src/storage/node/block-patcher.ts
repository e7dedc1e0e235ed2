import { promisify } from 'node:util';
import type { DiskRequest } from '../../devices/block/disk.ts';
import type { DirectAccess } from './direct-access.ts';
import { stagingBytes } from './file-transfer.ts';
import { imageError, shrunkError } from './image-error.ts';
import { imageStatus, type OpenImage } from './open-image.ts';

/** Changes parts of blocks of an image that is written past the page cache, where only whole ones can be. */
export class BlockPatcher {
  readonly #image: OpenImage;
  readonly #direct: DirectAccess;
  #staging: Uint8Array | undefined;

  constructor(image: OpenImage, direct: DirectAccess) {
    this.#image = image;
    this.#direct = direct;
  }

  /** The request changes the disk, and does not begin and end where blocks do. */
  isFor({ operation, position, length }: DiskRequest): boolean {
    if (operation === 'read' || operation === 'flush') return false;
    return position % this.#direct.blockBytes !== 0 || length % this.#direct.blockBytes !== 0;
  }

  /** Nothing else may write meanwhile. Throws TransportError, or what the request's data throws. */
  async patch(request: DiskRequest): Promise<void> {
    const { operation, position, length } = request;
    const { path } = this.#image;
    if (imageStatus(this.#image).size < position + length) throw shrunkError(path, request);
    const mayFree = operation === 'discard' || (operation === 'writeZeroes' && request.mayUnmap);
    if (mayFree && (await this.#punched(request))) return;
    for (let done = 0; done < length; ) done += await this.#patchSome(request, done);
  }

  async #patchSome(request: DiskRequest, done: number): Promise<number> {
    this.#staging ??= this.#direct.allocate(stagingBytes);
    const at = request.position + done;
    const before = at % this.#direct.blockBytes;
    const count = Math.min(stagingBytes - before, request.length - done);
    const whole = this.#staging.subarray(0, this.#direct.wholeBlocks(before + count));
    if ((await this.#move('read', whole, at - before)) < whole.length) throw shrunkError(this.#image.path, request);
    if (request.operation === 'write') request.copyData(done, whole, before, count);
    else whole.fill(0, before, before + count);
    if ((await this.#move('write', whole, at - before)) < whole.length) {
      throw imageError(this.#image.path, new Error('the operating system wrote less than it was asked to'));
    }
    return count;
  }

  /** How many bytes were read or written: all, unless the file ends before. */
  async #move(call: 'read' | 'write', bytes: Uint8Array, position: number): Promise<number> {
    const { calls, fd, path } = this.#image;
    const move = promisify(calls[call]);
    for (let done = 0; done < bytes.length; ) {
      const count = await move(fd, bytes, done, bytes.length - done, position + done).catch((error: Error) => {
        throw imageError(path, error);
      });
      done += count;
      if (count === 0) return done;
    }
    return bytes.length;
  }

  /** False where the file system has no holes. */
  #punched({ position, length }: DiskRequest): Promise<boolean> {
    const { calls, fd } = this.#image;
    return calls.punchHole(fd, position, length).then(
      () => true,
      () => false,
    );
  }
}
