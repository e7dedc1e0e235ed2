import { fstatSync, readSync, writeSync } from 'node:fs';
import { TransportError } from '../../spec/fault.ts';
import { closeFd } from '../../unix/file-descriptor.ts';
import { whenReadable, whenWritable } from '../../unix/poller.ts';

/** More than any device's state is. */
const MOST_BYTES = 64 << 20;
const PIECE_BYTES = 65536;

/** A transfer under way: it ends without a word when it is cancelled. The descriptor is closed in any case. */
export interface StateStream {
  cancel(): void;
}

/** Writes all of `bytes` to a pipe, a socket or a file, without holding up the thread. Calls `done` once. */
export function writeAll(fd: number, bytes: Uint8Array, done: (error?: Error) => void): StateStream {
  let sent = 0;
  return transfer(fd, whenWritable, done, () => {
    sent += writeSync(fd, bytes, sent, Math.min(PIECE_BYTES, bytes.length - sent));
    return sent === bytes.length;
  });
}

/** Reads a pipe, a socket or a file to its end. Calls `done` once. */
export function readAll(fd: number, done: (result: Uint8Array | Error) => void): StateStream {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const ended = (error?: Error): void => done(error ?? Buffer.concat(pieces));
  return transfer(fd, whenReadable, ended, () => {
    const piece = new Uint8Array(PIECE_BYTES);
    const count = readSync(fd, piece, 0, piece.length, null);
    pieces.push(piece.subarray(0, count));
    bytes += count;
    if (bytes > MOST_BYTES) throw new TransportError(`a state of more than ${MOST_BYTES} bytes`);
    return count === 0;
  });
}

/** Takes steps while the descriptor is ready; a file always is. `step` says whether it was the last one. */
function transfer(
  fd: number,
  when: typeof whenReadable,
  done: (error?: Error) => void,
  step: () => boolean,
): StateStream {
  let watch: { close(): void } | undefined;
  let open = true;
  const close = (): void => {
    open = false;
    watch?.close();
    closeFd(fd);
  };
  const go = (): void => {
    try {
      if (!step()) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
      close();
      done(error as Error);
      return;
    }
    close();
    done();
  };
  try {
    if (fstatSync(fd).isFile()) while (open) go();
    else watch = when(fd, () => open && go());
  } catch (error) {
    close();
    done(error as Error);
  }
  return { cancel: () => open && close() };
}
