import { describe, expect, it } from 'vitest';
import { status, statusTable } from '../../../src/cli/status.ts';
import type { Computer } from '../../../src/machine/computer.ts';

/** A computer of one disk whose device shows this. */
function computer(device: { status: number; accepted: bigint }): Computer {
  const disk = { path: '/disk.img', writesTo: 'overlay', disk: { capacitySectors: 2048 }, overlay: undefined };
  return {
    paused: false,
    disks: [{ ...disk, device: { inFlight: 0, failure: undefined, ...device } }],
  } as unknown as Computer;
}

describe('the status of a disk', () => {
  it.each([
    ['a driver that does not know VIRTIO_F_SUSPEND', { status: 0x0f, accepted: 1n << 32n }, null, 'never'],
    ['one that does and lets it run', { status: 0x0f, accepted: (1n << 43n) | (1n << 32n) }, false, 'no'],
    ['one that waits for it to be suspended', { status: 0x1f, accepted: 1n << 43n }, false, 'no'],
    ['one that has suspended it', { status: 0x1b, accepted: 1n << 43n }, true, 'yes'],
  ])('with %s says whether that has suspended it', (_, device, suspended, shown) => {
    const one = computer(device);
    expect(status(one).disks[0]).toMatchObject({ suspended, inFlight: 0, failure: null });
    expect(statusTable(one)).toMatch(new RegExp(`\\(0x${device.status.toString(16).padStart(2, '0')}\\) +│ ${shown} `));
  });

  it('is not there without disks', () => {
    expect(statusTable({ paused: true, disks: [] } as unknown as Computer)).toBe('this machine has no disks');
  });
});
