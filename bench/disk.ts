import { Device } from 'virtio-ts/device';
import { BlockDevice } from 'virtio-ts/devices/block';
import { guestFiles, type OnProgress, startMachine } from 'virtio-ts/machine';
import { GuestMemory } from 'virtio-ts/memory';
import { MemoryDisk } from 'virtio-ts/storage';
import { ioLayout, PciDevice } from 'virtio-ts/transports/pci';
import { DISK_BYTES, DISKS, type DiskName, DiskWork } from './disk-work.ts';
import { against, type Row } from './row.ts';

const ROUNDS = 7;

/**
 * `/dev/vda`, our block device, next to `/dev/sda`, a disk of v86's own IDE controller, in one guest. Both are in memory and
 * of one size.
 *
 * Each round does every work on both disks, one right after the other, and each second round in the other order. The first
 * round is dropped, as the guest's code is compiled in it; the best of the others counts, as what else the machine does
 * can only make them slower. Starting `dd` is part of the time. About a minute, and half a minute more where the guest is
 * booted for the first time.
 */
export async function diskSuite(): Promise<Row[]> {
  const memory = new GuestMemory();
  const disk = new MemoryDisk({ capacitySectors: DISK_BYTES / 512 });
  const pci = new PciDevice(new Device(new BlockDevice(disk), memory), { layout: ioLayout });
  const onProgress = announceSteps();
  const machine = await startMachine({
    files: await guestFiles({ onProgress }),
    onProgress,
    memory,
    functions: [{ pci }],
    ideDisk: new ArrayBuffer(DISK_BYTES),
    load: ['virtio', 'ata'],
  });
  try {
    const works = await DiskWork.prepare(machine);
    const best = new Map(works.map((work) => [work, { vda: 0, sda: 0 }]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const [work, rates] of best) {
        for (const name of inOrder(round)) {
          const rate = await work.measure(name);
          if (round > 0) rates[name] = Math.max(rates[name], rate);
        }
      }
    }
    return [...best].map(([{ description }, { vda, sda }]) =>
      against('disk', description.name, description.unit, vda, sda, description.leastRatio),
    );
  } finally {
    await machine.destroy();
  }
}

function inOrder(round: number): readonly DiskName[] {
  return round % 2 === 0 ? DISKS : DISKS.toReversed();
}

/** The guest may have to be downloaded, built and booted first. */
function announceSteps(): OnProgress {
  let last = '';
  return ({ name }) => {
    if (name !== last) process.stderr.write(`  ${name}\n`);
    last = name;
  };
}
