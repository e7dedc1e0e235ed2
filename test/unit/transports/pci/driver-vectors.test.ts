/** MSI-X of the driver end (§4.1.5.1.2). */
import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { PciLoopback } from '../../../../src/hosts/loopback/pci.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { Msix, NO_VECTOR, PciCommon } from '../../../../src/spec/pci.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { memoryLayout, PciDevice, type PciDeviceOptions } from '../../../../src/transports/pci/device.ts';
import { type PciAccess, PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { pattern } from '../../../support/rig.ts';

const QUEUES = 3;
const COMMON_BAR = 4;
const MSIX_CONTROL = 0x98 + Msix.CONTROL;

interface Rig {
  readonly disk: MemoryDisk;
  readonly memory: GuestMemory;
  readonly device: Device;
  readonly pci: PciDevice;
  readonly driver: BlockDriver;
  readonly accesses: string[];
}

/** A disk with three queues; `reach` puts something between driver and function. */
async function makeRig(options: PciDeviceOptions, reach = (bus: PciLoopback): PciAccess => bus): Promise<Rig> {
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const disk = new MemoryDisk({ capacitySectors: 64 });
  const device = new Device(new BlockDevice(disk, { queues: QUEUES }), memory);
  const pci = new PciDevice(device, options);
  const accesses: string[] = [];
  pci.onAccess = ({ kind, register, value }) => accesses.push(`${kind} ${register} ${value}`);
  const transport = await PciDriverTransport.open(reach(new PciLoopback(pci)));
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, memory.regions[0]!.size - 0x1000));
  return { disk, memory, device, pci, driver, accesses };
}

async function expectItWorks({ driver, disk }: Rig): Promise<void> {
  const sectors = Array.from({ length: 2 * QUEUES }, (_, n) => n);
  await Promise.all(sectors.map((sector) => driver.write(sector, pattern(512, sector))));
  for (const sector of sectors) expect(await driver.read(sector, 512)).toEqual(pattern(512, sector));
  const told = new Promise((resolve) => {
    driver.onInfoChange = (info) => resolve(info.capacitySectors);
  });
  disk.resize(128);
  expect(await told).toBe(128);
}

/** Which vectors the events are mapped to: configuration changes, and each queue. */
function mapping({ pci }: Rig): number[] {
  const read = (register: number): number => pci.readBar(COMMON_BAR, register, 2);
  const queues = Array.from({ length: QUEUES }, (_, queue) => {
    pci.writeBar(COMMON_BAR, PciCommon.QUEUE_SELECT, 2, queue);
    return read(PciCommon.QUEUE_MSIX_VECTOR);
  });
  return [read(PciCommon.CONFIG_MSIX_VECTOR), ...queues];
}

function isEnabled({ pci }: Rig): boolean {
  return (pci.readConfig(MSIX_CONTROL, 2) & Msix.ENABLE) !== 0;
}

/** A bus whose function maps only what `allows` lets it; `otherwise` is what it shows instead. */
function mapsOnly(allows: (register: number, vector: number) => boolean, otherwise: number = NO_VECTOR) {
  return (bus: PciLoopback): PciAccess => {
    const refused = new Set<number>();
    let queue = 0;
    const key = (register: number): number => (register === PciCommon.CONFIG_MSIX_VECTOR ? -1 : queue);
    const isVector = (bar: number, offset: number): boolean =>
      bar === COMMON_BAR && (offset === PciCommon.CONFIG_MSIX_VECTOR || offset === PciCommon.QUEUE_MSIX_VECTOR);
    return {
      messages: bus.messages,
      onInterrupt: undefined,
      readConfig: (offset, width) => bus.readConfig(offset, width),
      writeConfig: (offset, width, value) => bus.writeConfig(offset, width, value),
      readBar: (bar: number, offset: number, width: AccessWidth) =>
        isVector(bar, offset) && refused.has(key(offset)) ? otherwise : bus.readBar(bar, offset, width),
      writeBar: (bar: number, offset: number, width: AccessWidth, value: number) => {
        if (bar === COMMON_BAR && offset === PciCommon.QUEUE_SELECT) queue = value;
        if (isVector(bar, offset)) {
          if (!allows(offset, value)) {
            refused.add(key(offset));
            return;
          }
          refused.delete(key(offset));
        }
        bus.writeBar(bar, offset, width, value);
      },
    };
  };
}

describe('a driver of a function with MSI-X', () => {
  it.each([
    [2, [0, 1, 1, 1]],
    [3, [0, 1, 2, 1]],
    [4, [0, 1, 2, 3]],
    [2048, [0, 1, 2, 3]],
  ])('works with %d vectors, and maps each event to one of them', async (vectors, expected) => {
    const rig = await makeRig({ vectors });
    await rig.driver.initialize();
    expect([isEnabled(rig), mapping(rig)]).toEqual([true, expected]);
    await expectItWorks(rig);
  });

  it('maps them anew after a reset', async () => {
    const rig = await makeRig({ vectors: 4 });
    await rig.driver.initialize();
    rig.device.writeStatus(0);
    expect(mapping(rig)).toEqual([NO_VECTOR, NO_VECTOR, NO_VECTOR, NO_VECTOR]);
    await rig.driver.initialize();
    expect(mapping(rig)).toEqual([0, 1, 2, 3]);
    await expectItWorks(rig);
  });

  it('looks at each mapping, and reads no ISR (§4.1.5.1.2.1, §4.1.4.5.2)', async () => {
    const rig = await makeRig({ vectors: 4 });
    await rig.driver.initialize();
    const verified = rig.accesses.filter((access) => access.includes('msix_vector'));
    expect(verified).toEqual([
      'write config_msix_vector 0',
      'read config_msix_vector 0',
      ...[1, 2, 3].flatMap((vector) => [`write queue_msix_vector ${vector}`, `read queue_msix_vector ${vector}`]),
    ]);
    await expectItWorks(rig);
    expect(rig.accesses.filter((access) => access.includes('isr'))).toEqual([]);
  });

  it('has queues share a vector where they can have no other', async () => {
    const rig = await makeRig(
      { vectors: 4 },
      mapsOnly((_, vector) => vector <= 1),
    );
    await rig.driver.initialize();
    expect(mapping(rig)).toEqual([0, 1, 1, 1]);
    await expectItWorks(rig);
  });

  it.each([
    ['changes', PciCommon.CONFIG_MSIX_VECTOR, /configuration changes to no MSI-X vector/],
    ['a queue', PciCommon.QUEUE_MSIX_VECTOR, /queue 0 to no MSI-X vector/],
  ])('gives one up that cannot map %s', async (_, register, message) => {
    const rig = await makeRig(
      { vectors: 4 },
      mapsOnly((offset) => offset !== register),
    );
    const error = await rig.driver.initialize().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ rule: 'pci.device.msix.4', message: expect.stringMatching(message) });
    expect(rig.driver.driver.state).toBe('failed');
  });

  it('gives one up that shows another vector than it was given', async () => {
    const rig = await makeRig(
      { vectors: 4 },
      mapsOnly(() => false, 3),
    );
    await expect(rig.driver.initialize()).rejects.toMatchObject({ rule: 'pci.device.msix.6' });
  });

  it('uses INTx where its host has no messages', async () => {
    const rig = await makeRig({ vectors: 4 }, (bus) => {
      const access: PciAccess = {
        onInterrupt: undefined,
        readConfig: (...place) => bus.readConfig(...place),
        writeConfig: (...place) => bus.writeConfig(...place),
        readBar: (...place) => bus.readBar(...place),
        writeBar: (...place) => bus.writeBar(...place),
      };
      bus.onInterrupt = () => access.onInterrupt?.();
      return access;
    });
    await rig.driver.initialize();
    expect(isEnabled(rig)).toBe(false);
    await expectItWorks(rig);
  });

  it('uses INTx with a single vector, which would not tell of what it is (§4.1.5.1.2.1)', async () => {
    const rig = await makeRig({ vectors: 1 });
    await rig.driver.initialize();
    expect(isEnabled(rig)).toBe(false);
    await expectItWorks(rig);
  });

  it('uses INTx when the table is in no BAR that there is', async () => {
    const rig = await makeRig({ vectors: 4 }, (bus) => {
      const { readConfig } = bus;
      bus.readConfig = (offset, width) => (offset === 0x98 + Msix.TABLE ? 6 : readConfig.call(bus, offset, width));
      return bus;
    });
    await rig.driver.initialize();
    expect(isEnabled(rig)).toBe(false);
    await expectItWorks(rig);
  });

  it('suspends, moves and resumes it with its vectors', async () => {
    let bus!: PciLoopback;
    const rig = await makeRig({ vectors: 4 }, (made) => {
      bus = made;
      return made;
    });
    await rig.driver.initialize();
    await rig.driver.write(1, pattern(512));
    await rig.driver.suspend();
    const state = JSON.stringify(rig.pci.save());
    const device = new Device(new BlockDevice(rig.disk, { queues: QUEUES }), rig.memory);
    const pci = new PciDevice(device, { vectors: 4 });
    pci.restore(JSON.parse(state));
    bus.connect(pci);
    await rig.driver.resume();
    expect(mapping({ ...rig, pci })).toEqual([0, 1, 2, 3]);
    await expectItWorks(rig);
  });
});

it('a driver finds shared memory regions by their ids, also large ones (§4.1.4.7)', async () => {
  const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 64 })), new GuestMemory());
  const pci = new PciDevice(device, {
    layout: {
      bars: [...memoryLayout.bars, { index: 2, kind: 'memory', size: 2 ** 34 }],
      structures: {
        ...memoryLayout.structures,
        sharedMemory: [
          { id: 7, bar: 2, offset: 4096, length: 8192 },
          { id: 0, bar: 2, offset: 2 ** 33, length: 2 ** 33 },
        ],
      },
    },
  });
  const transport = await PciDriverTransport.open(new PciLoopback(pci));
  expect(transport.sharedMemory(7)).toMatchObject({ bar: 2, offset: 4096, length: 8192 });
  expect(transport.sharedMemory(0)).toMatchObject({ bar: 2, offset: 2 ** 33, length: 2 ** 33 });
  expect(transport.sharedMemory(1)).toBeUndefined();
});
