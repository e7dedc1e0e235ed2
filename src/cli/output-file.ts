import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TransportError } from '../spec/fault.ts';

interface Named {
  readonly path: string;
}

/**
 * Throws TransportError unless a file can be written at `path`, so that work of minutes is not lost to a slip of the pen.
 * One of `images`, under whatever name, is refused: it would be gone. Writes nothing.
 */
export async function requireWritable(path: string, images: readonly Named[] = []): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw refusal(path, 'it is a folder, name a file in it');
  for (const image of images) {
    const other = await stat(image.path).catch(() => undefined);
    if (found !== undefined && found.ino === other?.ino && found.dev === other.dev) {
      throw refusal(path, `it is the disk image ${image.path}; name another file`);
    }
  }
  const folder = dirname(path);
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) throw refusal(path, `there is no folder ${folder}`);
  await access(found === undefined ? folder : path, constants.W_OK).catch((cause: Error) => {
    throw refusal(path, cause.message);
  });
}

/** The same for a file that is not written but replaced by another one: a device or a pipe would be gone. */
export async function requireReplaceable(path: string, images: readonly Named[] = []): Promise<void> {
  await requireWritable(path, images);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === false) throw refusal(path, 'it is a device, pipe or socket, name a file');
}

function refusal(path: string, why: string): TransportError {
  return new TransportError(`cannot write ${path}: ${why}`);
}
