import { type Disk, type DiskRequest, defaultTopology } from '../../src/devices/block/disk.ts';

/** A disk that is its log: what came, in the order in which it came. Answers at once, unless `later`. */
export class RecordingDisk implements Disk {
  capacitySectors = 64;
  readOnly = false;
  identity = 'recorder';
  topology: Disk['topology'] = defaultTopology;
  supports: Disk['supports'] = { flush: true, discard: true, writeZeroes: true };
  onResize: (() => void) | undefined;
  readonly log: string[] = [];
  readonly contents: Uint8Array = new Uint8Array(64 * 512);
  /** Requests that came while `later` was set. */
  readonly waiting: DiskRequest[] = [];
  later = false;
  /** An operation that fails. */
  failing: DiskRequest['operation'] | undefined;

  submit(request: DiskRequest): void {
    const { operation, position, length, mayUnmap } = request;
    this.log.push(
      `${operation}${operation === 'flush' ? '' : ` ${position / 512}+${length / 512}`}${mayUnmap ? ' unmap' : ''}`,
    );
    if (this.later) this.waiting.push(request);
    else this.finish(request);
  }

  finish(request: DiskRequest): void {
    const { operation, position, length } = request;
    if (operation === this.failing) {
      request.fail(new Error(`this disk cannot ${operation}`));
      return;
    }
    if (operation === 'read') request.putData(0, this.contents, position, length);
    else if (operation === 'write') request.copyData(0, this.contents, position, length);
    else if (operation !== 'flush') this.contents.fill(0, position, position + length);
    request.complete();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
