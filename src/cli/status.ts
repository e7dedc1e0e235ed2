import type { Computer } from '../machine/computer.ts';
import { describeStatus } from '../spec/status.ts';
import { makeTable } from './table.ts';

/** What the devices are doing, as plain values. */
export interface ComputerStatus {
  readonly paused: boolean;
  readonly disks: readonly DiskStatus[];
}

export interface DiskStatus {
  readonly path: string;
  readonly writesTo: string;
  readonly bytes: number;
  readonly status: string;
  readonly inFlight: number;
  /** What the guest has written; null without an overlay. */
  readonly overlayBytes: number | null;
  readonly failure: string | null;
}

export function status(computer: Computer): ComputerStatus {
  return {
    paused: computer.paused,
    disks: computer.disks.map(({ path, writesTo, disk, device, overlay }) => ({
      path,
      writesTo,
      bytes: disk.capacitySectors * 512,
      status: describeStatus(device.status),
      inFlight: device.inFlight,
      overlayBytes: overlay?.statistics.dirtyBytes ?? null,
      failure: device.failure?.message ?? null,
    })),
  };
}

export function statusTable(computer: Computer): string {
  const { disks } = status(computer);
  if (disks.length === 0) return 'this machine has no disks';
  const table = makeTable(['disk', 'writes go to', 'bytes', 'device status', 'in flight', 'in the overlay', 'failure']);
  for (const { path, writesTo, bytes, status: shown, inFlight, overlayBytes, failure } of disks) {
    table.push([path, writesTo, bytes, shown, inFlight, overlayBytes ?? '', failure ?? '']);
  }
  return table.toString();
}
