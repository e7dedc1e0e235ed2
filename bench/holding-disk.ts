import { type Disk, type DiskRequest, defaultTopology } from 'virtio-ts/devices/block';

/** Holds every request until told to end them all. */
export class HoldingDisk implements Disk {
  readonly capacitySectors = 64 * 1024;
  readonly readOnly = false;
  readonly identity = 'bench';
  readonly topology = defaultTopology;
  readonly supports = { flush: true, discard: false, writeZeroes: false };
  onResize: (() => void) | undefined;
  readonly held: DiskRequest[] = [];

  submit(request: DiskRequest): void {
    this.held.push(request);
  }

  async close(): Promise<void> {}
}
