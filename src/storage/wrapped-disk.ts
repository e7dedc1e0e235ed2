import type { Disk, DiskRequest, DiskTopology } from '../devices/block/disk.ts';

/** Something in front of a disk that is in all but `submit` that disk. Owns it: closing closes it. */
export abstract class WrappedDisk implements Disk {
  protected readonly disk: Disk;

  constructor(disk: Disk) {
    this.disk = disk;
  }

  get capacitySectors(): number {
    return this.disk.capacitySectors;
  }

  get readOnly(): boolean {
    return this.disk.readOnly;
  }

  get identity(): string {
    return this.disk.identity;
  }

  get topology(): DiskTopology {
    return this.disk.topology;
  }

  get supports(): Disk['supports'] {
    return this.disk.supports;
  }

  get onResize(): (() => void) | undefined {
    return this.disk.onResize;
  }

  set onResize(listener: (() => void) | undefined) {
    this.disk.onResize = listener;
  }

  abstract submit(request: DiskRequest): void;

  close(): Promise<void> {
    return this.disk.close();
  }
}
