/** QEMU's block device with our driver, over the registers of each transport, as the judge sees the two. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/device/clock.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { Qemu } from '../../src/hosts/qtest/qemu.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { QueuesSeen } from '../../src/record/queues-seen.ts';
import { Recorder, TraceLines } from '../../src/record/recorder.ts';
import { placesOf, recordedMmio, recordedPci } from '../../src/record/transports.ts';
import { DeviceId } from '../../src/spec/device-ids.ts';
import { Mmio } from '../../src/spec/mmio.ts';
import { PCI_VENDOR, PciHeader, VirtioPciCap } from '../../src/spec/pci.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { findCapabilities } from '../../src/transports/pci/found-capabilities.ts';
import { hasQemu } from '../guest/qemu-machine.ts';
import { judgeLines } from '../support/recorded-rig.ts';
import type { Bus } from './qemu-devices.ts';

const MIB = 1 << 20;
const DISK = ['-drive', 'if=none,id=disk,driver=null-co,size=1M,read-zeroes=on'];
type Ring = 'split' | 'packed';

function deviceArguments(bus: Bus, ring: Ring): string[] {
  const options = `drive=disk,packed=${ring === 'packed' ? 'on' : 'off'}`;
  if (bus !== 'mmio') return ['-device', `virtio-blk-pci,${options},disable-legacy=on`];
  return ['-global', 'virtio-mmio.force-legacy=false', '-device', `virtio-blk-device,${options}`];
}

function start(bus: Bus, ring: Ring): Promise<Qemu> {
  return Qemu.start({
    machine: bus === 'mmio' ? 'microvm' : 'q35',
    arguments: [...DISK, ...deviceArguments(bus, ring)],
    ...(bus === 'pci msix' ? { messagePage: 0 } : {}),
  });
}

/** Records accesses to registers and, as the memory is both ends', what is in queues and buffers. */
function record(transport: 'pci' | 'mmio', qemu: Qemu, lines: TraceLines): Recorder {
  const seen = new QueuesSeen(lines);
  const recorder = new Recorder({ transport, device: DeviceId.BLOCK }, seen, systemClock);
  seen.record(recorder, qemu.memory);
  return recorder;
}

/** A driver that reads what ours does not need of the function, and the rules are about. */
async function openPci(qemu: Qemu, lines: TraceLines): Promise<DriverTransport> {
  const found = (await qemu.pciFunctions()).find(({ vendor }) => vendor === PCI_VENDOR)!;
  const places = placesOf((await findCapabilities(found)).structures);
  const bus = recordedPci(record('pci', qemu, lines), found, places);
  await bus.readConfig(PciHeader.REVISION, 1);
  await bus.readConfig(PciHeader.SUBSYSTEM, 2);
  let at = await found.readConfig(PciHeader.CAPABILITIES, 1);
  while (at !== 0) {
    await bus.readConfig(at + VirtioPciCap.LENGTH, 1);
    at = await found.readConfig(at + VirtioPciCap.NEXT, 1);
  }
  return PciDriverTransport.open(bus);
}

async function openMmio(qemu: Qemu, lines: TraceLines): Promise<DriverTransport> {
  const recorder = record('mmio', qemu, lines);
  for (const slot of qemu.mmioSlots()) {
    if ((await slot.read(Mmio.DEVICE_ID, 4)) !== DeviceId.BLOCK) continue;
    return (await MmioDriverTransport.open(recordedMmio(recorder, slot)))!;
  }
  throw new Error('QEMU has no block device');
}

const EXERCISED: Readonly<Record<Bus, readonly string[]>> = {
  pci: ['pci.device.discovery.6', 'pci.device.cap.1', 'pci.device.notifycap.6', 'pci.driver.common.5'],
  'pci msix': ['pci.device.msix.6', 'pci.driver.msix.5', 'pci.device.pcicfg.1', 'notify.driver.pci.1'],
  mmio: ['mmio.device.regs.1', 'mmio.driver.regs.19', 'mmio.driver.init.2', 'notify.driver.mmio.3'],
};

const EXERCISED_BY_RING: Readonly<Record<Ring, readonly string[]>> = {
  split: ['split.device.used.2', 'split.driver.indirect.2', 'split.driver.availnotif.6'],
  packed: ['packed.device.used.length', 'packed.driver.indirect.2', 'packed.driver.sg.3'],
};

/** What QEMU does not keep: its used descriptors have lengths without the flag that says so. */
const FINDINGS: Readonly<Record<Ring, readonly string[]>> = { split: [], packed: ['packed.device.used.write'] };

/** By what is in buffers. */
const EXERCISED_BY_REQUESTS = [
  'status.device.1',
  'blk.device.init.1',
  'blk.driver.op.2',
  'blk.driver.op.4',
  'blk.driver.op.7',
  'blk.driver.op.8',
  'blk.device.op.9',
];

describe.skipIf(!hasQemu)('the block device of QEMU, and our driver, keep every rule but one', () => {
  const buses = ['pci', 'pci msix', 'mmio'] as const;
  it.each(buses.flatMap((bus) => [[bus, 'split'] as const, [bus, 'packed'] as const]))(
    'over %s, %s',
    async (bus, ring) => {
      const qemu = await start(bus, ring);
      try {
        const lines = new TraceLines();
        const transport = await (bus === 'mmio' ? openMmio : openPci)(qemu, lines);
        const driver = new BlockDriver(transport, new GuestAllocator(qemu.memory, MIB, MIB), { queueSize: 64 });
        await driver.initialize();
        for (const request of [
          ...Array.from({ length: 5 }, (_, sector) => () => driver.read(sector, 512)),
          () => driver.write(0, new Uint8Array(512)),
          () => driver.writeZeroes(0, 8),
          () => driver.read(0, 512),
          () => driver.discard(8, 8),
          () => driver.identify(),
          () => driver.flush(),
        ]) {
          await request();
        }
        // In a packed ring, what both ends write between two looks of a recorder hides what was there in between.
        for (let round = 0; round < 5 && ring === 'split'; round++) {
          await Promise.all(Array.from({ length: 12 }, (_, n) => driver.read(n * round, 512 * (1 + (n % 3)))));
        }
        await driver.driver.reset();
        const verdicts = [...judgeLines(lines.lines).values()];
        const broken = verdicts.filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
        expect(broken).toEqual(FINDINGS[ring]);
        const passed = verdicts.filter(({ result }) => result === 'pass').map(({ rule }) => rule.id);
        expect(passed).toEqual(
          expect.arrayContaining([...EXERCISED[bus], ...EXERCISED_BY_RING[ring], ...EXERCISED_BY_REQUESTS]),
        );
      } finally {
        await qemu.close();
      }
    },
  );
});
