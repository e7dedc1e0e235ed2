import { describe, expect, it } from 'vitest';
import { BlockConfig } from '../../../../src/devices/block/layout.ts';
import { Feature, featureSet } from '../../../../src/spec/features.ts';
import { NO_VECTOR, PciCommon } from '../../../../src/spec/pci.ts';
import { layouts, PciRig } from './pci-rig.ts';

const {
  DEVICE_FEATURE_SELECT,
  DEVICE_FEATURE,
  DRIVER_FEATURE_SELECT,
  DRIVER_FEATURE,
  DEVICE_STATUS,
  NUM_QUEUES,
  QUEUE_SELECT,
  QUEUE_SIZE,
  QUEUE_ENABLE,
  QUEUE_NOTIFY_OFF,
  QUEUE_DESC,
  QUEUE_DRIVER,
  QUEUE_DEVICE,
} = PciCommon;
const ADDRESSES = [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE];

describe('features (§4.1.4.3)', () => {
  it('are shown by words, whatever the selector is', () => {
    const rig = new PciRig();
    const words = [0, 1, 2, 3, 4, 31, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    for (const word of words) {
      rig.write(DEVICE_FEATURE_SELECT, word);
      expect(rig.read(DEVICE_FEATURE_SELECT)).toBe(word);
      const expected = word > 3 ? 0n : (rig.device.offered >> BigInt(32 * word)) & 0xffff_ffffn;
      expect(rig.read(DEVICE_FEATURE)).toBe(Number(expected));
    }
    expect(rig.device.offered & featureSet(Feature.VERSION_1)).not.toBe(0n);
  });

  it('of the driver read back as it wrote them, until FEATURES_OK', () => {
    const rig = new PciRig();
    for (const word of [0, 1, 2, 3, 4, 0xffff_ffff]) {
      rig.write(DRIVER_FEATURE_SELECT, word);
      rig.write(DRIVER_FEATURE, 0xffff_ffff);
      expect(rig.read(DRIVER_FEATURE)).toBe(word > 3 ? 0 : 0xffff_ffff);
      rig.write(DRIVER_FEATURE, 0);
      expect(rig.read(DRIVER_FEATURE)).toBe(0);
    }
    rig.accept();
    rig.write(DEVICE_STATUS, 0x0b);
    rig.write(DRIVER_FEATURE_SELECT, 0);
    const accepted = rig.read(DRIVER_FEATURE);
    rig.write(DRIVER_FEATURE, 0);
    expect(rig.read(DRIVER_FEATURE)).toBe(accepted);
  });

  it('are not written through the register that shows the offered ones', () => {
    const rig = new PciRig();
    const before = rig.read(DEVICE_FEATURE);
    rig.write(DEVICE_FEATURE, 0);
    expect(rig.read(DEVICE_FEATURE)).toBe(before);
  });
});

describe('queues (§4.1.4.3)', () => {
  it('are as many as there are', () => {
    const rig = new PciRig();
    expect(rig.read(NUM_QUEUES)).toBe(2);
    rig.write(NUM_QUEUES, 7);
    expect(rig.read(NUM_QUEUES)).toBe(2);
  });

  it('that do not exist read 0, and what is written to them goes nowhere', () => {
    const rig = new PciRig();
    for (const index of [2, 3, 64, 0xffff]) {
      rig.write(QUEUE_SELECT, index);
      expect(rig.read(QUEUE_SELECT)).toBe(index);
      for (const register of [QUEUE_SIZE, QUEUE_ENABLE, QUEUE_NOTIFY_OFF, ...ADDRESSES]) {
        rig.write(register, 1);
        expect(rig.read(register)).toBe(0);
      }
    }
  });

  it('take powers of two up to their largest size, and keep what they have for everything else', () => {
    const rig = new PciRig();
    expect(rig.read(QUEUE_SIZE)).toBe(16);
    for (let size = 0; size <= 0x40; size++) {
      rig.write(QUEUE_SIZE, 8);
      rig.write(QUEUE_SIZE, size);
      expect(rig.read(QUEUE_SIZE)).toBe([1, 2, 4, 8, 16].includes(size) ? size : 8);
    }
    for (const size of [0x8000, 0xffff, 0x4000]) {
      rig.write(QUEUE_SIZE, size);
      expect(rig.read(QUEUE_SIZE)).toBe(8);
    }
  });

  it('take any size up to their largest once packed rings were negotiated, and not before', () => {
    const rig = new PciRig(undefined, { offer: [Feature.RING_PACKED] });
    rig.write(DEVICE_STATUS, 0x03);
    rig.accept();
    rig.write(QUEUE_SIZE, 5);
    expect(rig.read(QUEUE_SIZE), 'a driver may still change its mind').toBe(16);
    rig.write(DEVICE_STATUS, 0x0b);
    for (const size of [5, 16, 1, 3]) {
      rig.write(QUEUE_SIZE, size);
      expect(rig.read(QUEUE_SIZE)).toBe(size);
    }
    for (const size of [0, 17, 0xffff]) {
      rig.write(QUEUE_SIZE, size);
      expect(rig.read(QUEUE_SIZE)).toBe(3);
    }
  });

  it('have addresses whose halves are written and read apart (§4.1.3.1)', () => {
    const rig = new PciRig();
    for (const register of ADDRESSES) {
      rig.write(register, 0x8765_4320);
      expect([rig.read(register), rig.read(register + 4)]).toEqual([0x8765_4320, 0]);
      rig.write(register + 4, 0x0012_3456);
      expect([rig.read(register), rig.read(register + 4)]).toEqual([0x8765_4320, 0x0012_3456]);
      rig.write(register, 0);
      expect([rig.read(register), rig.read(register + 4)]).toEqual([0, 0x0012_3456]);
    }
    rig.write(QUEUE_SELECT, 1);
    expect(ADDRESSES.map((register) => rig.read(register + 4))).toEqual([0, 0, 0]);
  });

  it('are enabled by 1 alone, after FEATURES_OK, and then keep their values until the reset', () => {
    const rig = new PciRig();
    rig.write(QUEUE_ENABLE, 1);
    expect(rig.read(QUEUE_ENABLE), 'before FEATURES_OK').toBe(0);
    rig.write(DEVICE_STATUS, 0x03);
    rig.accept();
    rig.write(DEVICE_STATUS, 0x0b);
    for (const value of [0, 2, 0xffff]) {
      rig.write(QUEUE_ENABLE, value);
      expect(rig.read(QUEUE_ENABLE)).toBe(0);
    }
    rig.setUpQueue(1);
    expect(rig.read(QUEUE_ENABLE)).toBe(1);
    const before = ADDRESSES.map((register) => rig.read(register));
    rig.write(QUEUE_ENABLE, 0);
    rig.write(QUEUE_SIZE, 2);
    for (const register of ADDRESSES) rig.write(register, 0xffff_0000);
    expect([rig.read(QUEUE_ENABLE), rig.read(QUEUE_SIZE)]).toEqual([1, 16]);
    expect(ADDRESSES.map((register) => rig.read(register))).toEqual(before);
    rig.write(DEVICE_STATUS, 0);
    expect(rig.read(QUEUE_SELECT)).toBe(0);
    rig.write(QUEUE_SELECT, 1);
    expect([QUEUE_ENABLE, QUEUE_SIZE, ...ADDRESSES].map((register) => rig.read(register))).toEqual([0, 16, 0, 0, 0]);
  });

  it('have a notify offset each, within the notification structure (§4.1.4.4)', () => {
    for (const layout of Object.values(layouts)) {
      const rig = new PciRig(layout);
      for (const index of [0, 1]) {
        rig.write(QUEUE_SELECT, index);
        expect(rig.read(QUEUE_NOTIFY_OFF)).toBe(index);
        rig.write(QUEUE_NOTIFY_OFF, 9);
        expect(rig.read(QUEUE_NOTIFY_OFF)).toBe(index);
      }
    }
  });
});

it('vectors read back as none, whatever was written: there is no MSI-X (§4.1.5.1.2)', () => {
  const rig = new PciRig().start();
  for (const register of [PciCommon.CONFIG_MSIX_VECTOR, PciCommon.QUEUE_MSIX_VECTOR]) {
    for (const vector of [0, 1, 0x7ff, 0xffff]) {
      rig.write(register, vector);
      expect(rig.read(register)).toBe(NO_VECTOR);
    }
  }
});

it('fields of features that are not offered read 0', () => {
  const rig = new PciRig().start();
  for (const register of [PciCommon.QUEUE_NOTIF_CONFIG_DATA, PciCommon.ADMIN_QUEUE_INDEX, PciCommon.ADMIN_QUEUE_NUM]) {
    rig.write(register, 0xffff);
    expect(rig.read(register)).toBe(0);
  }
});

it('a kick is a write of the queue, 16 or 32 bits wide, anywhere in the notification structure (§4.1.5.2)', () => {
  for (const layout of Object.values(layouts)) {
    const rig = new PciRig(layout).start();
    const { bar, offset, length } = layout.structures.notify;
    const kicked: number[] = [];
    rig.device.observer = { kicked: (queue) => kicked.push(queue) };
    rig.pci.writeBar(bar, offset, 2, 0);
    rig.pci.writeBar(bar, offset, 4, 1);
    rig.pci.writeBar(bar, offset + length - 2, 2, 1);
    rig.pci.writeBar(bar, offset, 2, 0xffff);
    expect(kicked).toEqual([0, 1, 1, 0x7fff]);
    rig.pci.writeBar(bar, offset, 1, 0);
    rig.pci.writeBar(bar, offset + length - 2, 4, 0);
    expect(kicked, 'too narrow, and across the end').toHaveLength(4);
    expect(rig.pci.readBar(bar, offset, 2), 'it is only for writing').toBe(0);
  }
});

describe('the device configuration (§4.1.4.6)', () => {
  it('is read with any width at any offset, and reads 0 beyond its end', () => {
    for (const layout of Object.values(layouts)) {
      const rig = new PciRig(layout);
      rig.disk.capacitySectors = 0x0807_0605_0403;
      rig.disk.onResize?.();
      const bytes = Array.from({ length: 64 }, (_, offset) => rig.config(offset, 1));
      expect(bytes.slice(0, 8)).toEqual([3, 4, 5, 6, 7, 8, 0, 0]);
      expect(bytes.slice(BlockConfig.BYTES)).toEqual([0, 0, 0, 0]);
      for (let offset = 0; offset < 60; offset++) {
        const [a, b, c, d] = bytes.slice(offset) as [number, number, number, number];
        expect(rig.config(offset, 2)).toBe(a + b * 2 ** 8);
        expect(rig.config(offset, 4)).toBe(a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24);
      }
      expect(rig.config(layout.structures.device.length - 4, 4)).toBe(0);
      expect(rig.config(layout.structures.device.length - 2, 4), 'across the end').toBe(0);
    }
  });

  it('has another generation as soon as a changed value was read (§4.1.4.3.1)', () => {
    const rig = new PciRig().start();
    const generation = (): number => rig.read(PciCommon.CONFIG_GENERATION);
    const before = generation();
    rig.config(0, 4);
    rig.config(4, 4);
    expect(generation(), 'nothing changed').toBe(before);
    rig.disk.capacitySectors = 2 ** 33;
    rig.disk.onResize?.();
    expect(rig.config(4, 4)).toBe(2);
    expect(generation()).not.toBe(before);
    const after = generation();
    expect(generation(), 'to read it changes nothing').toBe(after);
    // However often it changes between two reads, the generation does not come round to the same.
    for (let n = 1; n <= 256; n++) {
      rig.disk.capacitySectors = n;
      rig.disk.onResize?.();
    }
    rig.config(0, 4);
    expect(generation()).not.toBe(after);
  });

  it('has another generation when a device goes on elsewhere with a change that was not read yet', async () => {
    const rig = new PciRig().start();
    const before = rig.read(PciCommon.CONFIG_GENERATION);
    expect(rig.config(4, 4)).toBe(0);
    rig.disk.capacitySectors = 2 ** 32 + 1;
    rig.disk.onResize?.();
    await rig.device.pause();
    const next = new PciRig();
    next.disk.capacitySectors = 2 ** 32 + 1;
    next.pci.restore(JSON.parse(JSON.stringify(rig.pci.save())));
    next.device.continue();
    expect(next.config(0, 4)).toBe(1);
    expect(next.read(PciCommon.CONFIG_GENERATION), 'or the driver would have put 1 and 0 together').not.toBe(before);
  });
});
