/**
 * Every access of Linux to the registers of a disk that it suspends while requests are in flight. VIRTIO_TRACE=1 prints
 * them as docs/linux.md has them.
 */
import { expect, it } from 'vitest';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { FaultyDisk } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import type { PciDevice } from '../../src/transports/pci/device.ts';
import { output } from './commanded-guest.ts';
import { watchedDevices } from './suspend-machine.ts';

const SUSPEND = '/sys/bus/virtio/devices/virtio0/suspend';
/** In processing when the suspend is asked for. */
const REQUESTS = 4;

it('Linux writes the status once, and from then on only reads until the disk rests', async () => {
  const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 2048 }));
  const { memory, devices, functions } = watchedDevices([{ disk }]);
  const machine = await startMachine({ files: await guestFiles({ suspend: true }), memory, functions });
  const { device } = devices[0]!;
  const pci = functions[0]!.pci as PciDevice;
  await output(machine, 'echo 1 >/sys/module/virtio_blk/parameters/leave_in_flight');
  disk.hold();
  const read = 'dd if=/dev/vda of=/dev/null bs=4k iflag=direct count=1 2>/dev/null';
  await output(machine, `for n in $(seq ${REQUESTS}); do ${read} & done; echo 0 >/tmp/start`);
  await expect.poll(() => disk.held.length).toBe(REQUESTS);

  const trace: string[] = [];
  const started = performance.now();
  const note = (what: string): void => {
    const time = `${((performance.now() - started) * 1000).toFixed(0)}`;
    trace.push(what);
    if (process.env['VIRTIO_TRACE'] !== undefined) console.log(`${time.padStart(9)}  ${what}`);
  };
  pci.onAccess = ({ register, kind, value }) => note(`Linux ${kind}s ${register} ${hex(value)}`);
  device.observer = {
    statusWritten: () => {
      if (device.status === 0x0f) setTimeout(() => disk.release(), 20);
    },
    statusShown: (status) => note(`  the disk shows ${hex(status)}, ${device.inFlight} in processing`),
    usedNotified: () => note('  the disk has used buffers'),
  };
  await output(machine, `echo 1 >${SUSPEND}`);
  const suspended = trace.splice(0);
  await output(machine, `sleep 1; echo 0 >${SUSPEND}`);
  const resumed = trace.splice(0);
  pci.onAccess = undefined;
  device.observer = undefined;
  await output(machine, 'dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null');
  await machine.destroy();

  const asked = suspended.indexOf('Linux writes device_status 0x1f');
  const atRest = suspended.indexOf('  the disk shows 0x1b, 0 in processing');
  expect(suspended[asked + 1]).toBe(`  the disk shows 0x1f, ${REQUESTS} in processing`);
  const between = suspended.slice(asked + 2, atRest);
  // The interrupt may be handled before the disk shows that it rests, or after.
  const others = between.filter((line) => !/^Linux reads (device_status|isr) |^ {2}the disk has used/.test(line));
  expect(others).toEqual([]);
  expect(between.filter((line) => line === 'Linux reads device_status 0x1f').length).toBeGreaterThan(1);
  expect(suspended.slice(atRest + 1).filter((line) => !line.includes('isr'))).toEqual([
    'Linux reads device_status 0x1b',
    'Linux reads config_generation 0x00',
  ]);
  expect(resumed.slice(0, 4)).toEqual([
    'Linux reads device_status 0x1b',
    'Linux writes device_status 0x1f',
    '  the disk shows 0x0f, 0 in processing',
    'Linux reads device_status 0x0f',
  ]);
}, 600_000);

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
