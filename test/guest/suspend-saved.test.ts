/** A machine is saved while its disk is suspended by Linux, and Linux resumes the disk in another machine. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Computer } from '../../src/machine/computer.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { complaints, endOfLoad, output, startLoad } from './commanded-guest.ts';
import { suspendStats } from './suspend-machine.ts';

const SUSPEND = '/sys/bus/virtio/devices/virtio0/suspend';
const folder = mkdtempSync(join(tmpdir(), 'virtio-suspend-'));
afterAll(() => rmSync(folder, { recursive: true }));

function imageFile(): string {
  const path = join(folder, 'disk.img');
  writeFileSync(path, '');
  truncateSync(path, 32 * 1024 * 1024);
  return path;
}

it('a disk that was suspended by Linux is resumed where the machine goes on, with nothing lost', async () => {
  const files = await guestFiles({ suspend: true });
  const saved = join(folder, 'machine.saved');
  const first = await Computer.start({ files, disks: [{ path: imageFile(), writesTo: 'overlay' }] });
  await output(first.machine, 'echo 1 >/sys/module/virtio_blk/parameters/leave_in_flight');
  await startLoad(first.machine);
  await output(first.machine, `echo 1 >${SUSPEND}`);
  expect(first.disks[0]!.device.status).toBe(0x1b);
  await first.save(saved);
  await first.close();

  const second = await Computer.open(saved, { files });
  const { device } = second.disks[0]!;
  const trace: number[] = [];
  device.observer = { statusShown: (status) => trace.push(status) };
  expect(device.status).toBe(0x1b);
  second.continue();
  await output(second.machine, 'sleep 1');
  expect(device.status).toBe(0x1b);
  await output(second.machine, `echo 0 >${SUSPEND}`);
  expect(trace).toEqual([0x0f]);
  expect(await endOfLoad(second.machine)).toEqual({ bad: 0, verified: true });
  expect(await suspendStats(second.machine)).toMatchObject({ cycles: '1', failures: '0', resets: '0' });
  expect(await complaints(second.machine)).toBe('');
  await second.close();
}, 600_000);
