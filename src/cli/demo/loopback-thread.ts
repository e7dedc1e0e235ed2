import { Device } from '../../device/device.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import { BlockDriver } from '../../devices/block/driver.ts';
import { PciLoopback } from '../../hosts/loopback/pci.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { MemoryDisk } from '../../storage/memory-disk.ts';
import { PciDevice } from '../../transports/pci/device.ts';
import { PciDriverTransport } from '../../transports/pci/driver.ts';
import { CountingDisk } from './counting-disk.ts';
import { type LoopbackReport, report } from './loopback-report.ts';
import { StatusWatch } from './status-watch.ts';
import { TaggedLoad } from './tagged-load.ts';

const MEMORY_BYTES = 16 * 1024 * 1024;
/** How long the load works between two suspends: about four requests of each lane. */
const TURNS_PER_CYCLE = 12;

export interface LoopbackOptions {
  readonly cycles: number;
  readonly depth: number;
  /** Every so many cycles the suspended device is saved and restored into a new one. */
  readonly moveEvery: number;
  readonly onCycle?: (cycle: number) => void;
}

/** Our driver on our device over PCI, in this thread, through suspend and resume cycles under a verified load. */
export async function runInThread({ cycles, depth, moveEvery, onCycle }: LoopbackOptions): Promise<LoopbackReport> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const disk = new CountingDisk(new MemoryDisk({ capacitySectors: TaggedLoad.sectors(depth) }));
  const watch = new StatusWatch();
  const make = (): PciDevice => {
    const device = new Device(new BlockDevice(disk), memory);
    watch.attach(device);
    return new PciDevice(device);
  };
  let pci = make();
  const bus = new PciLoopback(pci);
  const driver = new BlockDriver(await PciDriverTransport.open(bus), allocator);
  await driver.initialize();
  const load = new TaggedLoad(driver, allocator);
  load.start(depth);
  let moved = 0;
  for (let cycle = 1; cycle <= cycles; cycle++) {
    for (let turn = 0; turn < TURNS_PER_CYCLE; turn++) await turnOfTheLoop();
    load.hold();
    await driver.suspend();
    if (cycle % moveEvery === 0) {
      const saved = JSON.stringify(pci.save());
      pci = make();
      pci.restore(JSON.parse(saved));
      bus.connect(pci);
      moved++;
    }
    await driver.resume();
    load.letGo();
    onCycle?.(cycle);
  }
  await load.stop();
  const { statuses, drainsUs, mostInFlight } = watch;
  return report(load.counts, disk.writes, { cycles, moved, statuses, drainsUs, mostInFlight });
}

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
