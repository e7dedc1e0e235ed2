import type { Disk, DiskRequest } from '../devices/block/disk.ts';
import { StateError } from '../spec/fault.ts';
import { sectorBytes } from './disk-options.ts';

/**
 * Why `disk` cannot do `request`, or undefined when it can.
 *
 * A block device has checked all of this already; a disk checks again because it is also used without one, and because
 * the capacity may have changed while a request waited.
 */
export function refusal(disk: Disk, request: DiskRequest): Error | undefined {
  const { operation, position, length } = request;
  switch (operation) {
    case 'read':
      break;
    case 'write':
      if (disk.readOnly) return readOnlyError(operation);
      break;
    case 'flush':
      return disk.supports.flush ? undefined : unsupportedError(operation);
    case 'discard':
    case 'writeZeroes':
      if (disk.readOnly) return readOnlyError(operation);
      if (!disk.supports[operation]) return unsupportedError(operation);
      break;
  }
  if (position % sectorBytes !== 0 || length % sectorBytes !== 0 || !(position >= 0) || !(length >= 0)) {
    return new RangeError(
      `A ${operation} of ${length} bytes at ${position} is not made of whole 512-byte sectors: whoever sent it must align it`,
    );
  }
  if (position + length > disk.capacitySectors * sectorBytes) {
    return new RangeError(
      `A ${operation} of ${length} bytes at ${position} is beyond the disk's end at ${disk.capacitySectors * sectorBytes}: ` +
        'whoever sent it must stay within the capacity',
    );
  }
  return undefined;
}

function readOnlyError(operation: string): StateError {
  return new StateError(
    `A ${operation} came to a read-only disk: the device must refuse it, or the disk be opened writable`,
  );
}

function unsupportedError(operation: string): TypeError {
  return new TypeError(`A ${operation} came to a disk that does not support it: the device must not offer the feature`);
}

/** For requests that come after `close`. */
export function closedError(): StateError {
  return new StateError('A request came to a disk after close: stop the device before its disk is closed');
}

/** What was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
