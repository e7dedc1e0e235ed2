import type { Device } from '../device/device.ts';
import type { Computer } from '../machine/computer.ts';
import { Feature, hasFeature } from '../spec/features.ts';
import { describeStatus, Status } from '../spec/status.ts';
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
  /** Whether its driver in the guest has suspended it; null when that does not know VIRTIO_F_SUSPEND. */
  readonly suspended: boolean | null;
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
      suspended: suspended(device),
      inFlight: device.inFlight,
      overlayBytes: overlay?.statistics.dirtyBytes ?? null,
      failure: device.failure?.message ?? null,
    })),
  };
}

export function statusTable(computer: Computer): string {
  const { disks } = status(computer);
  if (disks.length === 0) return 'this machine has no disks';
  const table = makeTable([
    'disk',
    'writes go to',
    'bytes',
    'device status',
    'suspended by its driver',
    'in flight',
    'in the overlay',
    'failure',
  ]);
  for (const { path, writesTo, bytes, status: shown, suspended, inFlight, overlayBytes, failure } of disks) {
    const byDriver = suspended === null ? 'never' : suspended ? 'yes' : 'no';
    table.push([path, writesTo, bytes, shown, byDriver, inFlight, overlayBytes ?? '', failure ?? '']);
  }
  return table.toString();
}

function suspended({ accepted, status: shown }: Device): boolean | null {
  if (!hasFeature(accepted, Feature.SUSPEND)) return null;
  return (shown & (Status.SUSPEND | Status.DRIVER_OK)) === Status.SUSPEND;
}
