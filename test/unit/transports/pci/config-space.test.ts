import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { PciCommand, PciHeader, PciStatus, VirtioPciCap, VirtioPciCapType } from '../../../../src/spec/pci.ts';
import { PciDevice } from '../../../../src/transports/pci/device.ts';
import { FillingType } from '../../../support/filling-type.ts';
import { capabilitiesOf, layouts, PciRig } from './pci-rig.ts';

for (const [name, layout] of Object.entries(layouts)) {
  describe(`the configuration space of a function with ${name}`, () => {
    it('says that it is a modern virtio block device with capabilities and INTA (§4.1.2)', () => {
      const { pci } = new PciRig(layout);
      expect(pci.readConfig(PciHeader.VENDOR, 2)).toBe(0x1af4);
      expect(pci.readConfig(PciHeader.DEVICE, 2)).toBe(0x1042);
      expect(pci.readConfig(PciHeader.VENDOR, 4)).toBe(0x1042_1af4);
      expect(pci.readConfig(PciHeader.REVISION, 1)).toBeGreaterThanOrEqual(1);
      expect(pci.readConfig(PciHeader.CLASS + 2, 1), 'mass storage').toBe(1);
      expect(pci.readConfig(PciHeader.HEADER_TYPE, 1)).toBe(0);
      expect(pci.readConfig(PciHeader.SUBSYSTEM, 2)).toBeGreaterThanOrEqual(0x40);
      expect(pci.readConfig(PciHeader.STATUS, 2) & PciStatus.CAPABILITIES).not.toBe(0);
      expect(pci.readConfig(PciHeader.INTERRUPT_PIN, 1)).toBe(1);
    });

    it('lists one capability of each kind, aligned and apart from each other (§4.1.4)', () => {
      const { pci } = new PciRig(layout);
      const list = capabilitiesOf(pci);
      const { COMMON, NOTIFY, ISR, DEVICE, PCI } = VirtioPciCapType;
      expect(list.map(({ type }) => type).sort()).toEqual([COMMON, NOTIFY, ISR, DEVICE, PCI].sort());
      for (const { at, length, type } of list) {
        expect(at % 4).toBe(0);
        expect(at).toBeGreaterThanOrEqual(0x40);
        expect(length).toBe(type === NOTIFY || type === PCI ? VirtioPciCap.BYTES + 4 : VirtioPciCap.BYTES);
        for (const other of list) {
          if (other.at !== at) expect(at + length <= other.at || other.at + other.length <= at).toBe(true);
        }
      }
      expect(Math.max(...list.map(({ at, length }) => at + length))).toBeLessThanOrEqual(256);
    });

    it('places the structures in its BARs, aligned and apart from each other (§4.1.4)', () => {
      const { pci } = new PciRig(layout);
      const structures = capabilitiesOf(pci).filter(({ type }) => type !== VirtioPciCapType.PCI);
      for (const each of structures) {
        const bar = pci.bars.find(({ index }) => index === each.bar);
        expect(each.offset + each.size).toBeLessThanOrEqual(bar!.size);
        expect(each.offset % 4).toBe(0);
        for (const other of structures) {
          const apart =
            other.bar !== each.bar ||
            each.offset + each.size <= other.offset ||
            other.offset + other.size <= each.offset;
          expect(other === each || apart).toBe(true);
        }
      }
      const bytes = Object.fromEntries(structures.map(({ type, size }) => [type, size]));
      expect(bytes[VirtioPciCapType.COMMON]).toBeGreaterThanOrEqual(56);
      expect(bytes[VirtioPciCapType.ISR]).toBeGreaterThanOrEqual(1);
      expect(bytes[VirtioPciCapType.DEVICE]).toBeGreaterThanOrEqual(60);
    });

    it('has room to notify every queue that a device can have (§4.1.4.4.1)', () => {
      const { pci } = new PciRig(layout);
      const notify = capabilitiesOf(pci).find(({ type }) => type === VirtioPciCapType.NOTIFY)!;
      const multiplier = pci.readConfig(notify.at + VirtioPciCap.NOTIFY_MULTIPLIER, 4);
      expect(multiplier === 0 || (multiplier % 2 === 0 && Number.isInteger(Math.log2(multiplier)))).toBe(true);
      expect(notify.size).toBeGreaterThanOrEqual(63 * multiplier + 2);
      expect(notify.size).toBeGreaterThanOrEqual(2);
    });

    it('answers the sizing of its BARs, and has no others', () => {
      const { pci } = new PciRig(layout);
      for (let index = 0; index < 6; index++) {
        const at = PciHeader.BAR0 + 4 * index;
        const bar = pci.bars.find((each) => each.index === index);
        pci.writeConfig(at, 4, 0xffff_ffff);
        const type = bar?.kind === 'io' ? 1 : 0;
        expect(pci.readConfig(at, 4)).toBe(bar === undefined ? 0 : (~(bar.size - 1) | type) >>> 0);
        pci.writeConfig(at, 4, 0xfebc_c123);
        expect(pci.readConfig(at, 4)).toBe(bar === undefined ? 0 : ((0xfebc_c123 & ~(bar.size - 1)) | type) >>> 0);
        // By bytes and halves it is the same.
        pci.writeConfig(at, 2, 0);
        pci.writeConfig(at + 2, 1, 0x12);
        pci.writeConfig(at + 3, 1, 0x34);
        expect(pci.readConfig(at, 4)).toBe(bar === undefined ? 0 : 0x3412_0000 | type);
      }
    });
  });
}

it('only what a driver has to write can be written', () => {
  const { pci } = new PciRig();
  const writable = new Set([PciHeader.COMMAND, PciHeader.COMMAND + 1, PciHeader.INTERRUPT_LINE]);
  const window = capabilitiesOf(pci).find(({ type }) => type === VirtioPciCapType.PCI)!.at;
  const windowFields = [VirtioPciCap.BAR, ...Array.from({ length: 12 }, (_, n) => VirtioPciCap.OFFSET + n)];
  for (const field of windowFields) writable.add(window + field);
  for (let at = PciHeader.BAR0; at < PciHeader.BAR0 + 24; at++) writable.add(at);
  for (let at = 0; at < 256; at++) {
    if (writable.has(at)) continue;
    const before = pci.readConfig(at, 1);
    for (const value of [0, 0xff, 0x5a]) {
      pci.writeConfig(at, 1, value);
      expect(pci.readConfig(at, 1), `offset ${at}`).toBe(before);
    }
  }
  pci.writeConfig(PciHeader.COMMAND, 2, 0xffff);
  const { IO, MEMORY, BUS_MASTER, INTX_DISABLE } = PciCommand;
  expect(pci.readConfig(PciHeader.COMMAND, 2)).toBe(IO | MEMORY | BUS_MASTER | INTX_DISABLE);
  pci.writeConfig(PciHeader.INTERRUPT_LINE, 1, 11);
  expect(pci.readConfig(PciHeader.INTERRUPT_LINE, 1)).toBe(11);
});

it('accesses that are not aligned, or beyond the end, read 0 and write nothing', () => {
  const { pci } = new PciRig();
  const before = pci.configSpace.slice();
  for (const [offset, width] of [
    [1, 2],
    [1, 4],
    [2, 4],
    [255, 2],
    [254, 4],
    [256, 1],
    [0x1000, 4],
    [-4, 4],
    [0.5, 1],
    [Number.NaN, 4],
  ] as const) {
    expect(pci.readConfig(offset, width)).toBe(0);
    pci.writeConfig(offset, width, 0xffff_ffff);
  }
  expect(pci.configSpace).toEqual(before);
});

it('a device of a type without a class of its own is an "other" device with its own id', () => {
  const device = new Device(new FillingType(), GuestMemory.over(new Uint8Array(64)));
  const pci = new PciDevice(device, { name: 'mine' });
  expect(pci.name).toBe('mine');
  expect(pci.readConfig(PciHeader.DEVICE, 2)).toBe(0x107f);
  expect(pci.readConfig(PciHeader.CLASS + 2, 1)).toBe(0x00);
  expect(pci.readConfig(PciHeader.CLASS + 1, 1)).toBe(0xff);
});
