/** Our drivers with the devices of a real QEMU, without a guest: every virtqueue format, over PCI and MMIO. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSector } from '../../src/cli/check/bench.ts';
import { HandDriver } from '../../src/cli/check/hand-driver.ts';
import { reachQemu } from '../../src/cli/check/qemu-disk.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { ConsoleDriver } from '../../src/devices/console/driver.ts';
import { EntropyDriver } from '../../src/devices/entropy/driver.ts';
import type { Driver } from '../../src/driver/driver.ts';
import { QEMU, Qemu } from '../../src/hosts/qtest/qemu.ts';
import { DeviceId } from '../../src/spec/device-ids.ts';
import { StateError } from '../../src/spec/fault.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { hasQemu } from '../guest/qemu-machine.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { entropyBytes, hasInOrder, IMAGE_BYTES, leavesNothing, QemuDevices, type RingOptions } from './qemu-devices.ts';

const SWITCH = ['off', 'on'] as const;
const SECTOR = 512;
const SEED = 11;
const RINGS = { packed: 'off', eventIdx: 'on', indirect: 'on', inOrder: 'off' } as const;

const matrix = (['pci', 'pci msix', 'mmio'] as const).flatMap((bus) =>
  SWITCH.flatMap((packed) =>
    SWITCH.flatMap((eventIdx) =>
      SWITCH.flatMap((indirect) =>
        (hasInOrder ? SWITCH : (['off'] as const)).map((inOrder) => ({ bus, packed, eventIdx, indirect, inOrder })),
      ),
    ),
  ),
);

describe.skipIf(!hasQemu).each(matrix)(
  'devices of QEMU over $bus, packed=$packed, event_idx=$eventIdx, indirect_desc=$indirect, in_order=$inOrder',
  ({ bus, ...rings }) => {
    let devices: QemuDevices;
    let block: BlockDriver;
    beforeAll(async () => {
      devices = await QemuDevices.start(bus, rings);
      block = new BlockDriver(devices.transport(DeviceId.BLOCK), devices.allocator, { queueSize: 64 });
      await block.initialize();
    });
    afterAll(() => devices.close());

    it('have the features that QEMU was told', () => {
      expectRings(block.driver, rings);
      const { transport } = block.driver;
      if (transport instanceof PciDriverTransport) {
        expect(transport.interrupts).toBe(bus === 'pci msix' ? 'MSI-X' : 'INTx');
      } else expect(bus).toBe('mmio');
      expect(block.info).toMatchObject({ capacitySectors: IMAGE_BYTES / SECTOR, readOnly: false, blockSize: SECTOR });
    });

    it('a disk: what the driver writes is in the image, and what is in the image is read', async () => {
      const below = randomNumbers(SEED);
      const expected = new Uint8Array(IMAGE_BYTES).fill(0x11);
      const writes = Array.from({ length: 200 }, (_, n) => {
        // Each in a place of its own, so that they may end in any order.
        const sector = n * 40 + below(8);
        const bytes = new Uint8Array(SECTOR * (1 + below(32))).map(() => below(256));
        expected.set(bytes, sector * SECTOR);
        return block.write(sector, bytes);
      });
      await Promise.all(writes);
      await block.flush();
      expect(Buffer.compare(devices.image, expected)).toBe(0);
      const reads = Array.from({ length: IMAGE_BYTES / 65536 }, (_, n) => block.read(n * 128, 65536));
      expect(Buffer.compare(Buffer.concat(await Promise.all(reads)), expected)).toBe(0);
      expect(await block.identify()).toBe('matrix');
    });

    it('a disk: refuses to suspend, which it does not offer, and works on', async () => {
      const reading = block.read(0, SECTOR);
      await expect(block.driver.suspend()).rejects.toThrow(
        new StateError('suspend: the device does not offer VIRTIO_F_SUSPEND; reset it instead'),
      );
      expect(await reading).toEqual(await block.read(0, SECTOR));
    });

    it('a disk: one queue is reset and goes on with another size', async () => {
      const sizes = [8, 64, ...(rings.packed === 'on' ? [37] : [])];
      for (const size of sizes) {
        const reads = Array.from({ length: 20 }, (_, n) => block.read(n, SECTOR));
        const ended = Promise.allSettled(reads);
        const failed = await block.driver.resetQueue(0, { size, limitMs: 1000 }).catch((error: unknown) => error);
        const lost = (await ended).filter(({ status }) => status === 'rejected');
        for (const { reason } of lost as PromiseRejectedResult[]) expect(reason).toBeInstanceOf(Error);
        if (failed !== undefined) {
          // QEMU 7.2 offers the reset over MMIO, too, but has no register for it: the queue stays enabled.
          expect([bus, failed]).toEqual(['mmio', expect.objectContaining({ fault: 'limit' })]);
          await block.initialize();
          return;
        }
        expect(block.driver.queues[0]?.size).toBe(size);
        const bytes = new Uint8Array(SECTOR).fill(size);
        await block.write(9, bytes);
        expect(await block.read(9, SECTOR)).toEqual(bytes);
      }
    });

    it('a disk: can be reset and used again', async () => {
      await block.initialize();
      await block.write(0, new Uint8Array(SECTOR).fill(0x77));
      await block.flush();
      expect(devices.image.subarray(0, SECTOR).every((byte) => byte === 0x77)).toBe(true);
    });

    it('an entropy device: gives the bytes of its source', async () => {
      const entropy = new EntropyDriver(devices.transport(DeviceId.ENTROPY), devices.allocator);
      await entropy.initialize();
      expectRings(entropy.driver, rings);
      const first = await entropy.read(1000);
      const next = await entropy.read(3000);
      expect([...first, ...next]).toEqual([...entropyBytes(4000)]);
    });

    it('a console: prints and is typed to', async () => {
      let typed = '';
      const device = new ConsoleDriver(devices.transport(DeviceId.CONSOLE), devices.allocator);
      device.onInput = (bytes) => {
        typed += Buffer.from(bytes).toString('latin1');
      };
      await device.initialize();
      expectRings(device.driver, rings);
      const text = Array.from({ length: 300 }, (_, n) => `line ${n}\n`).join('');
      await device.write(Buffer.from(text));
      expect(await devices.printed(text.length)).toBe(text);
      devices.type(text);
      await expect.poll(() => typed).toBe(text);
    });
  },
);

/** What was negotiated is what QEMU was told to offer. */
function expectRings({ features }: Driver, rings: RingOptions): void {
  expect({
    packed: hasFeature(features, Feature.RING_PACKED) ? 'on' : 'off',
    eventIdx: hasFeature(features, Feature.EVENT_IDX) ? 'on' : 'off',
    indirect: hasFeature(features, Feature.INDIRECT_DESC) ? 'on' : 'off',
    inOrder: hasFeature(features, Feature.IN_ORDER) ? 'on' : 'off',
  }).toEqual(rings);
}

describe.skipIf(!hasQemu)('a QEMU', () => {
  it('sends no answer before the MSI-X messages that were sent earlier', async () => {
    const { close, ...place } = await reachQemu(QEMU, 'pci msix', []);
    try {
      const driver = new HandDriver({ ...place, declined: [], isSector });
      await driver.start();
      const { deviceArea } = driver.queue.ring.layout;
      const { bytes } = place.memory.find(deviceArea, 4)!;
      for (let round = 1; round <= 50; round++) {
        driver.send(round);
        // No timer and no socket is served meanwhile.
        const end = performance.now() + 1000;
        while (bytes[deviceArea + 2] !== round && performance.now() < end);
        expect(bytes[deviceArea + 2]).toBe(round);
        await driver.status();
        expect(driver.usedInterrupts).toBe(round);
        driver.collect();
      }
    } finally {
      await close();
    }
  });

  it('that ends while a driver waits: the driver gives the device up, and says why', async () => {
    const devices = await QemuDevices.start('pci', RINGS);
    const block = new BlockDriver(devices.transport(DeviceId.BLOCK), devices.allocator);
    await block.initialize();
    // Reads of a device whose registers cannot be reached any more.
    const reads = [0, 8].map((sector) => block.read(sector, SECTOR).catch((error: unknown) => error));
    await devices.close();
    for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(Error);
    await expect(block.read(0, SECTOR)).rejects.toThrow();
    expect(leavesNothing()).toBe(true);
  });

  it('that cannot be started is an error with what it said', async () => {
    const machine = 'q35';
    await expect(Qemu.start({ machine, arguments: ['-device', 'no-such-device'] })).rejects.toThrow(
      /QEMU ended with exit code 1: .*'no-such-device' is not a valid device model name/,
    );
    await expect(Qemu.start({ machine, arguments: [], program: '/no/qemu' })).rejects.toThrow(
      /^QEMU cannot be started: .*ENOENT\. Install qemu-system-x86$/,
    );
    expect(leavesNothing()).toBe(true);
  });
});
