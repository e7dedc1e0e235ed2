import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { BlockConfig } from '../../../../src/devices/block/layout.ts';
import { PciLoopback } from '../../../../src/hosts/loopback/pci.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { PciCommon, VirtioPciCap, VirtioPciCapType } from '../../../../src/spec/pci.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { PciDevice, type PciLayout } from '../../../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { pattern } from '../../../support/rig.ts';
import { WindowAccess } from '../../../support/window-access.ts';
import { capabilitiesOf, layouts, PciRig } from './pci-rig.ts';

function makeDevice(disk: MemoryDisk, memory: GuestMemory, layout: PciLayout): PciDevice {
  return new PciDevice(new Device(new BlockDevice(disk), memory), { layout });
}

for (const [name, layout] of Object.entries(layouts)) {
  it(`a driver does all its work through the window, suspend and move included, with ${name}`, async () => {
    const memory = GuestMemory.over(new Uint8Array(1 << 20));
    const disk = new MemoryDisk({ capacitySectors: 100 });
    const first = makeDevice(disk, memory, layout);
    const bus = new PciLoopback(first);
    const transport = await PciDriverTransport.open(new WindowAccess(bus));
    const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, 0xff000));
    await driver.initialize();
    await driver.write(3, pattern(2048));
    await driver.suspend();
    expect(first.device.status).toBe(0x1b);
    await driver.resume();
    expect(first.device.status).toBe(0x0f);
    expect(await driver.read(3, 2048)).toEqual(pattern(2048));
    await driver.suspend();
    const second = makeDevice(disk, memory, layout);
    second.restore(JSON.parse(JSON.stringify(first.save())));
    bus.connect(second);
    await driver.resume();
    expect(await driver.read(3, 2048)).toEqual(pattern(2048));
    await driver.setWriteback('writethrough');
    expect(second.device.readConfig(32, 1)).toBe(0);
    await driver.driver.reset();
    expect(second.device.status).toBe(0);
  });

  it(`an access through the window does what the same access does directly, with ${name}`, () => {
    const access = fc.record({
      bar: fc.constantFrom(layout.bars[0]!.index, layout.bars[0]!.index, 0, 5, 6, 255),
      offset: fc.oneof(
        fc.nat(0x100),
        fc.constantFrom(0x1000, 0x2000, 0x2020, 0x3000, 0x3004, 0x3ffc, 0x4000, 0xffff_fffc),
      ),
      width: fc.constantFrom<AccessWidth>(1, 2, 4),
      value: fc.oneof(fc.constantFrom(0, 1, 3, 0x0b, 0x0f, 0x1f), fc.nat(0xffff_ffff)),
      kind: fc.constantFrom('read', 'write'),
    });
    const aligned = access.filter(({ offset, width }) => offset % width === 0);
    fc.assert(
      fc.property(fc.array(aligned, { maxLength: 30 }), fc.boolean(), (accesses, started) => {
        const [direct, through] = [new PciRig(layout), new PciRig(layout)];
        if (started) for (const rig of [direct, through]) rig.start().disk.onResize?.();
        const window = new WindowAccess(new PciLoopback(through.pci));
        for (const { bar, offset, width, value, kind } of accesses) {
          if (kind === 'read') expect(window.readBar(bar, offset, width)).toBe(direct.pci.readBar(bar, offset, width));
          else {
            window.writeBar(bar, offset, width, value);
            direct.pci.writeBar(bar, offset, width, value);
          }
          expect(through.device.status).toBe(direct.device.status);
          expect(through.pci.interruptLine).toBe(direct.pci.interruptLine);
        }
      }),
      { seed: 20260109, numRuns: 150 },
    );
  });
}

/** Points the window by hand. */
function point({ pci }: PciRig, bar: number, offset: number, length: number): { data: number; window: number } {
  const window = capabilitiesOf(pci).find(({ type }) => type === VirtioPciCapType.PCI)!.at;
  pci.writeConfig(window + VirtioPciCap.BAR, 1, bar);
  pci.writeConfig(window + VirtioPciCap.OFFSET, 4, offset);
  pci.writeConfig(window + VirtioPciCap.SIZE, 4, length);
  return { data: window + VirtioPciCap.PCI_CFG_DATA, window };
}

it('a window that is pointed nowhere reads 0 and writes nothing', () => {
  const rig = new PciRig();
  for (const [bar, offset, length] of [
    [0, PciCommon.DEVICE_STATUS, 0],
    [0, PciCommon.DEVICE_STATUS, 3],
    [0, PciCommon.DEVICE_STATUS, 8],
    [0, PciCommon.DEVICE_STATUS, 0xffff_ffff],
    [0, PciCommon.DEVICE_STATUS + 1, 2],
    [0, 0x80 + BlockConfig.BLK_SIZE + 1, 2],
    [1, PciCommon.DEVICE_STATUS, 1],
    [0, 0xffff_ffff, 1],
    [0, 0x100, 4],
  ] as const) {
    const { data } = point(rig, bar, offset, length);
    rig.pci.writeConfig(data, 4, 0x03);
    expect(rig.device.status).toBe(0);
    expect(rig.pci.readConfig(data, 4)).toBe(0);
  }
});

it('the length of the window counts, not the width of the access to its data', () => {
  const rig = new PciRig();
  const { data } = point(rig, 0, PciCommon.DEVICE_STATUS, 1);
  rig.pci.writeConfig(data, 4, 0xffff_ff03);
  expect(rig.device.status).toBe(3);
  expect(rig.pci.readConfig(data, 4)).toBe(3);
  rig.accept();
  point(rig, 0, PciCommon.NUM_QUEUES, 2);
  expect([rig.pci.readConfig(data, 4), rig.pci.readConfig(data, 1)]).toEqual([2, 2]);
});

it('to point the window, and to read where it points, has no effect on the device', () => {
  const rig = new PciRig().start();
  rig.disk.onResize?.();
  const { isr } = rig.layout.structures;
  const { window } = point(rig, isr.bar, isr.offset, 1);
  for (let at = 0; at < 256; at++) if (at < window + VirtioPciCap.PCI_CFG_DATA) rig.pci.readConfig(at, 1);
  expect(rig.pci.interruptLine).toBe(true);
  expect(rig.pci.readConfig(window + VirtioPciCap.OFFSET, 4)).toBe(isr.offset);
  expect(rig.pci.readConfig(window + VirtioPciCap.PCI_CFG_DATA, 1)).toBe(2);
  expect(rig.pci.interruptLine, 'the data is the register').toBe(false);
});
