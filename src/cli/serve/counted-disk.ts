import type { DiskOperation, DiskRequest } from '../../devices/block/disk.ts';
import { WrappedDisk } from '../../storage/wrapped-disk.ts';

/** What a disk was asked for since it was opened, by operation; a flush has no bytes. */
export type DiskCounts = Readonly<Record<DiskOperation, { readonly requests: number; readonly bytes: number }>>;

/** Counts what goes to a disk. */
export class CountedDisk extends WrappedDisk {
  readonly counts: Record<DiskOperation, { requests: number; bytes: number }> = {
    read: { requests: 0, bytes: 0 },
    write: { requests: 0, bytes: 0 },
    flush: { requests: 0, bytes: 0 },
    discard: { requests: 0, bytes: 0 },
    writeZeroes: { requests: 0, bytes: 0 },
  };

  submit(request: DiskRequest): void {
    const count = this.counts[request.operation];
    count.requests++;
    count.bytes += request.length;
    this.disk.submit(request);
  }
}
