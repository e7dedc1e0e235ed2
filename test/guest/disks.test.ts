/** Disks of ours under a real Linux guest: in the middle of its work the machine is saved, and goes on elsewhere. */
import { beforeAll, describe, expect, it } from 'vitest';
import { type GuestFiles, guestFiles } from '../../src/machine/guest-files.ts';
import { Machine } from '../../src/machine/machine.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { Status } from '../../src/spec/status.ts';
import { FaultyDisk, seededLatency } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { OverlayDisk } from '../../src/storage/overlay-disk.ts';
import { complaints, endOfLoad, output, startLoad } from './commanded-guest.ts';
import { blockDevices, type Devices } from './linux-machine.ts';

const BOOT_MS = 300_000;
let files: GuestFiles;
beforeAll(async () => {
  files = await guestFiles();
}, BOOT_MS);

/** A disk whose requests take up to 8 ms and end in any order. */
function slow(disk: OverlayDisk): FaultyDisk {
  return new FaultyDisk(disk, {
    latency: seededLatency(1, 0, 8),
    schedule: (action, delayMs) => void setTimeout(action, delayMs),
  });
}

async function wait(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** Stops the processor while requests are on their way, then brings the devices to rest. */
async function pauseInMidAir(machine: Machine, { devices }: Devices): Promise<void> {
  const inFlight = () => devices.reduce((sum, device) => sum + device.inFlight, 0);
  await machine.pause();
  for (let attempt = 0; inFlight() === 0; attempt++) {
    if (attempt === 200) throw new Error('the guest has no request on its way, in 200 attempts');
    machine.continue();
    await wait(7);
    await machine.pause();
  }
  await Promise.all(devices.map((device) => device.pause()));
  expect(inFlight()).toBe(0);
}

describe('a guest that writes and checks files on two slow disks', () => {
  it(
    'loses nothing when it is saved in the middle, again and again, and goes on in another machine',
    async () => {
      const bases = [1, 2].map(() => new MemoryDisk({ capacitySectors: 65536 }));
      let overlays = bases.map((base) => new OverlayDisk(base));
      let devices = blockDevices(overlays.map(slow));
      let machine = await startMachine({ files, ...devices });
      await startLoad(machine);
      await output(machine, 'while :; do dd if=/dev/vdb of=/dev/null bs=64k iflag=direct; done 2>/dev/null & echo');
      for (let round = 0; round < 3; round++) {
        await wait(2500);
        await pauseInMidAir(machine, devices);
        const state = await machine.saveState();
        const contents = overlays.map((overlay) => overlay.snapshot());
        await machine.destroy();
        expect(devices.failures).toEqual([]);

        overlays = bases.map((base) => new OverlayDisk(base));
        for (const [index, overlay] of overlays.entries()) overlay.restore(contents[index]!);
        devices = blockDevices(overlays.map(slow));
        machine = await Machine.fromState({ files, ...devices }, state);
        for (const device of devices.devices) device.continue();
        machine.continue();
      }
      expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
      expect(await complaints(machine)).toBe('');
      expect(devices.failures).toEqual([]);
      await machine.destroy();
    },
    BOOT_MS,
  );

  it(
    'resets the disks when it reboots',
    async () => {
      const devices = blockDevices([new MemoryDisk({ capacitySectors: 2048 })]);
      const machine = await startMachine({ files, ...devices });
      const [device] = devices.devices;
      expect(device!.status & Status.DRIVER_OK).not.toBe(0);
      const reset = new Promise<void>((resolve) => {
        device!.observer = { statusShown: (status) => status === 0 && resolve() };
      });
      machine.serial.send('reboot -f\n');
      await reset;
      await machine.destroy();
    },
    BOOT_MS,
  );
});
