/** QEMU's block device with our driver, over the registers of each transport, as the judge sees the two. */
import { describe, expect, it } from 'vitest';
import { HandDriver } from '../../src/cli/check/hand-driver.ts';
import { reachQemu } from '../../src/cli/check/qemu-disk.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import type { QemuBus } from '../../src/hosts/qtest/virtio-machine.ts';
import { hasQemu, QEMU } from '../guest/qemu-machine.ts';
import { judgeLines } from '../support/recorded-rig.ts';

type Ring = 'split' | 'packed';

const EXERCISED: Readonly<Record<QemuBus, readonly string[]>> = {
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
      const { transport, allocator, trace, close } = await reachQemu(QEMU, bus, ring === 'packed' ? ['packed=on'] : []);
      try {
        const driver = new BlockDriver(transport, allocator, { queueSize: 64 });
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
        const verdicts = [...judgeLines(trace).values()];
        const broken = verdicts.filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
        expect(broken).toEqual(FINDINGS[ring]);
        const passed = verdicts.filter(({ result }) => result === 'pass').map(({ rule }) => rule.id);
        expect(passed).toEqual(
          expect.arrayContaining([...EXERCISED[bus], ...EXERCISED_BY_RING[ring], ...EXERCISED_BY_REQUESTS]),
        );
      } finally {
        await close();
      }
    },
  );
});

describe.skipIf(!hasQemu)('a queue of QEMU that is reset with requests in processing', () => {
  it.each(['pci', 'pci msix'] as const)(
    'over %s: their buffers are used in the queue that is enabled next',
    async (bus) => {
      const { close, trace, ...place } = await reachQemu(QEMU, bus, [], 'driver=null-co,size=1M,latency-ns=20000000');
      try {
        const driver = new HandDriver({ ...place, declined: [], isSector: () => true });
        await driver.start();
        driver.send(1, 2, 3);
        // Its kick is handled by then, and the disk is not done.
        await driver.status();
        await driver.renewQueue();
        await new Promise((resolve) => setTimeout(resolve, 100));
        await driver.status();
        expect(judgeLines(trace).get('reset.device.queue.2')).toMatchObject({ result: 'fail' });
      } finally {
        await close();
      }
    },
  );
});
