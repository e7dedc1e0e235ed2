import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import type { DeviceType } from '../../src/device/device-type.ts';
import { BlockDevice } from '../../src/devices/block/device.ts';
import type { Disk } from '../../src/devices/block/disk.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import type { DriverOptions } from '../../src/driver/driver.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { MmioLoopback } from '../../src/hosts/loopback/mmio.ts';
import { PciLoopback } from '../../src/hosts/loopback/pci.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Judge, type Verdict } from '../../src/monitor/judge.ts';
import type { Rule } from '../../src/monitor/rule.ts';
import { rules } from '../../src/monitor/rules.ts';
import type { TraceTransport } from '../../src/monitor/trace.ts';
import { TraceReader } from '../../src/monitor/trace-format.ts';
import { recordDevice, recordedType } from '../../src/record/device.ts';
import { Recorder, TraceLines } from '../../src/record/recorder.ts';
import { SeenMemory } from '../../src/record/seen-memory.ts';
import { placesOf, recordedMmio, recordedPci, recordedTransport } from '../../src/record/transports.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { MmioDevice } from '../../src/transports/mmio/device.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { memoryLayout, PciDevice } from '../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { FakeClock } from './fake-clock.ts';

export const recordedWays: readonly TraceTransport[] = ['direct', 'pci', 'mmio'];

export interface RecordedRig {
  /** The one that the driver has to do with now. */
  readonly device: Device;
  /** Saves the device at rest, and puts another one in its place, which goes on. */
  move(): void;
  /** As the device sees it. */
  deviceMemory(): SeenMemory;
  readonly driver: BlockDriver;
  readonly lines: readonly string[];
}

/** A device of some type, the way to it, and what is recorded of the two. */
export async function recordType(
  way: TraceTransport,
  makeType: () => DeviceType,
  options: DeviceOptions & { readonly vectors?: number | undefined } = {},
): Promise<{
  /** The one that the driver has to do with now. */
  readonly device: () => Device;
  readonly transport: DriverTransport;
  readonly allocator: GuestAllocator;
  readonly lines: readonly string[];
  /** Saves the device at rest, and puts another one in its place, which goes on. */
  readonly move: () => void;
  /** As the device sees it. */
  readonly deviceMemory: () => SeenMemory;
}> {
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const allocator = new GuestAllocator(memory, 0x1000, 0xff000);
  const trace = new TraceLines();
  const type = makeType();
  const recorder = new Recorder({ transport: way, device: type.deviceId }, trace, new FakeClock());
  let seen = new SeenMemory(memory);
  let device = new Device(recordedType(recorder, type), seen, options);
  const place = placeFor(way, device, options.vectors);
  const transport = await place.connect(recorder);
  const recording = recordDevice(recorder, device, seen);
  const move = (): void => {
    const nextMemory = new SeenMemory(memory);
    const next = new Device(recordedType(recorder, makeType()), nextMemory, options);
    recording.goOnIn(next, nextMemory);
    place.move(next);
    device = next;
    seen = nextMemory;
  };
  return { device: () => device, transport, allocator, lines: trace.lines, move, deviceMemory: () => seen };
}

export async function recordBlock(
  way: TraceTransport,
  options: {
    readonly device?: DeviceOptions;
    readonly driver?: DriverOptions;
    readonly disk?: Disk;
    readonly vectors?: number;
  } = {},
): Promise<RecordedRig> {
  const disk = options.disk ?? new MemoryDisk({ capacitySectors: 2048 });
  const rig = await recordType(way, () => new BlockDevice(disk), { ...options.device, vectors: options.vectors });
  const driver = new BlockDriver(rig.transport, rig.allocator, options.driver);
  return {
    get device() {
      return rig.device();
    },
    driver,
    lines: rig.lines,
    move: rig.move,
    deviceMemory: rig.deviceMemory,
  };
}

/** A device that a driver can be connected to, and another one put in its place. */
interface Place {
  connect(recorder: Recorder): Promise<DriverTransport>;
  move(to: Device): void;
}

function placeFor(way: TraceTransport, device: Device, vectors = 0): Place {
  if (way === 'direct') {
    const direct = new DirectTransport(device);
    let current = device;
    return {
      connect: async (recorder) => recordedTransport(recorder, direct),
      move: (to) => {
        to.restore(current.save());
        direct.connect(to);
        current = to;
      },
    };
  }
  if (way === 'mmio') {
    let current = new MmioDevice(device);
    const bus = new MmioLoopback(current);
    return {
      connect: async (recorder) => (await MmioDriverTransport.open(recordedMmio(recorder, bus)))!,
      move: (to) => {
        const next = new MmioDevice(to);
        next.restore(current.save());
        bus.connect(next);
        current = next;
      },
    };
  }
  let current = new PciDevice(device, { vectors });
  const bus = new PciLoopback(current);
  return {
    connect: (recorder) => PciDriverTransport.open(recordedPci(recorder, bus, placesOf(memoryLayout.structures))),
    move: (to) => {
      const next = new PciDevice(to, { vectors });
      next.restore(current.save());
      bus.connect(next);
      current = next;
    },
  };
}

/** Reads a trace as from a file, and judges it. */
export function judgeLines(lines: readonly string[], by: readonly Rule[] = rules): ReadonlyMap<string, Verdict> {
  const reader = new TraceReader();
  let judge: Judge | undefined;
  for (const line of lines) {
    const event = reader.read(line);
    if (event !== undefined) judge!.follow(event, reader.line);
    else if (reader.header !== undefined) judge ??= new Judge(reader.header, by);
  }
  if (reader.bad.length > 0) throw new Error(JSON.stringify(reader.bad[0]));
  return new Map(judge!.end().map((verdict) => [verdict.rule.id, verdict]));
}
