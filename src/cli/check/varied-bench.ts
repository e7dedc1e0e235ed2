import { type Clock, systemClock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import type { DeviceOptions } from '../../device/device-options.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import { DirectTransport } from '../../hosts/loopback/direct.ts';
import { PciLoopback } from '../../hosts/loopback/pci.ts';
import type { GuestAllocator } from '../../memory/allocator.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { recordedType, recordRings } from '../../record/device.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { recordedTransport } from '../../record/transports.ts';
import { MmioDriverTransport } from '../../transports/mmio/driver.ts';
import { PciDriverTransport } from '../../transports/pci/driver.ts';
import { makeBehind } from './bench.ts';
import type { DriverBench } from './driver-case.ts';
import type { Variation } from './variation.ts';
import { VariedDevice } from './varied-device.ts';
import { recordVariedFunction } from './varied-function.ts';
import { recordVariedMmio } from './varied-mmio.ts';

/** A device of ours as it is to be seen, for a driver in this process. */
export interface VariedBench extends DriverBench {
  readonly transport: DriverTransport;
  readonly allocator: GuestAllocator;
  readonly trace: readonly string[];
}

interface VariedWay {
  readonly transport: DriverTransport;
  readonly varied: { readonly variation: Variation; notifyForNothing(): void };
}

/** For a driver under test, whose device is varied: what the driver sees is what counts. */
export async function makeVariedBench(
  way: TraceTransport,
  options: DeviceOptions = {},
  clock: Clock = systemClock,
): Promise<VariedBench> {
  const behind = makeBehind();
  const { memory, disk, resize, allocator } = behind;
  const lines = new TraceLines();
  const type = new BlockDevice(disk);
  const recorder = new Recorder({ transport: way, device: type.deviceId }, lines, clock);
  const device = new Device(recordedType(recorder, type), memory, { suspendLimitMs: 500, clock, ...options });
  const { transport, varied } = await connect(way, recorder, device, memory);
  return {
    ...{ transport, allocator, memory, device, disk, resize, clock },
    varied: varied.variation,
    notifyForNothing: () => varied.notifyForNothing(),
    trace: lines.lines,
  };
}

async function connect(
  way: TraceTransport,
  recorder: Recorder,
  device: Device,
  memory: GuestMemory,
): Promise<VariedWay> {
  if (way === 'pci') {
    const { varied, pci } = recordVariedFunction(recorder, device, memory);
    return { varied, transport: await PciDriverTransport.open(new PciLoopback(pci)) };
  }
  if (way === 'mmio') {
    const { varied, bus } = recordVariedMmio(recorder, device, memory);
    return { varied, transport: (await MmioDriverTransport.open(bus))! };
  }
  const varied = new VariedDevice(new DirectTransport(device));
  varied.onInterrupt = (cause) => recorder.event({ kind: 'interrupt', cause });
  const transport = recordedTransport(recorder, varied);
  recordRings(recorder, device, memory);
  return { varied, transport };
}
