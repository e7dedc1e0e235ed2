import { BlockDevice, type Disk, type DiskRequest, defaultTopology } from 'virtio-ts/devices/block';

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

export default (): { type: BlockDevice } => ({ type: new BlockDevice(new NullDisk()) });
