import { systemClock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import type { DeviceOptions } from '../../device/device-options.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import { DirectTransport } from '../../hosts/loopback/direct.ts';
import { MmioLoopback } from '../../hosts/loopback/mmio.ts';
import { PciLoopback } from '../../hosts/loopback/pci.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { recordDevice, recordedType, recordRings } from '../../record/device.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { SeenMemory } from '../../record/seen-memory.ts';
import { placesOf, recordedMmio, recordedPci, recordedTransport } from '../../record/transports.ts';
import { FaultyDisk } from '../../storage/faulty-disk.ts';
import { MemoryDisk } from '../../storage/memory-disk.ts';
import { MmioDevice } from '../../transports/mmio/device.ts';
import { MmioDriverTransport } from '../../transports/mmio/driver.ts';
import { memoryLayout, PciDevice } from '../../transports/pci/device.ts';
import { PciDriverTransport } from '../../transports/pci/driver.ts';
import type { DriverBench } from './driver-case.ts';
import type { DriverPlace } from './hand-driver.ts';
import { VariedDevice } from './varied-device.ts';
import { recordVariedFunction } from './varied-function.ts';
import { type WaitingKind, waitingType } from './waiting-types.ts';

const MEMORY_BYTES = 1 << 20;
const FIRST_FREE = 0x1000;
/** Of the disk of each bench. */
export const SECTORS = 64;

/** Longer than any case waits for something on purpose, shorter than one waits for a device. */
const SUSPEND_LIMIT_MS = 500;

/** Which byte a sector of the disk is full of. */
export function byteOf(sector: number): number {
  return (sector * 37 + 11) & 0xff;
}

/** A device of ours, a way to it, and a recorder between the two. Each case has one of its own. */
export interface Bench extends DriverPlace {
  readonly device: Device;
  /** What is behind the device: requests are held here, and the disk is resized. */
  readonly disk: FaultyDisk;
  resize(sectors: number): void;
  /** What a resume fails with from now on; undefined: nothing. */
  refuseToWake(reason: Error | undefined): void;
  /** Something comes that buffers wait for. To a block device nothing does. */
  arrive(): void;
  readonly trace: readonly string[];
}

/** A block device that does not come back from a suspend when it is told so. */
class RefusingBlock extends BlockDevice {
  refusal: Error | undefined;

  wake(): void {
    if (this.refusal !== undefined) throw this.refusal;
  }
}

/** For a device under test: everything that it shows and tells is recorded. */
export async function makeBench(way: TraceTransport, options: DeviceOptions = {}, kind?: WaitingKind): Promise<Bench> {
  const parts = makeParts(way, options, kind);
  const transport = await connect(parts.recorder, parts.device, way);
  recordDevice(parts.recorder, parts.device, parts.seen);
  return { ...parts, transport };
}

/** For a driver under test, whose device is varied: what the driver sees is what counts. */
export async function makeVariedBench(
  way: 'direct' | 'pci',
  options: DeviceOptions = {},
): Promise<Bench & DriverBench> {
  const parts = makeParts(way, options);
  const { recorder, device, memory } = parts;
  if (way === 'pci') {
    const { varied, pci } = recordVariedFunction(recorder, device, memory);
    const transport = await PciDriverTransport.open(new PciLoopback(pci));
    return { ...parts, transport, varied: varied.variation, notifyForNothing: () => varied.notifyForNothing() };
  }
  const varied = new VariedDevice(new DirectTransport(device));
  varied.onInterrupt = (cause) => recorder.event({ kind: 'interrupt', cause });
  const transport = recordedTransport(recorder, varied);
  recordRings(recorder, device, memory);
  return { ...parts, transport, varied: varied.variation, notifyForNothing: () => varied.notifyForNothing() };
}

/** A disk with sectors that can be told from each other. */
export function makeDisk(): { readonly disk: FaultyDisk; resize(sectors: number): void } {
  const bytes = new Uint8Array(SECTORS * SECTOR_BYTES);
  for (let sector = 0; sector < SECTORS; sector++) {
    bytes.fill(byteOf(sector), sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  }
  const memoryDisk = new MemoryDisk({ bytes });
  return { disk: new FaultyDisk(memoryDisk), resize: (sectors) => memoryDisk.resize(sectors) };
}

function makeParts(
  way: TraceTransport,
  options: DeviceOptions,
  kind?: WaitingKind,
): Omit<Bench, 'transport'> & { readonly recorder: Recorder; readonly seen: SeenMemory } {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const seen = new SeenMemory(memory);
  const allocator = new GuestAllocator(memory, FIRST_FREE, MEMORY_BYTES - FIRST_FREE);
  const { disk, resize } = makeDisk();
  const lines = new TraceLines();
  const block = new RefusingBlock(disk);
  const { type, arrive } = kind === undefined ? { type: block, arrive: () => {} } : waitingType(kind);
  const recorder = new Recorder({ transport: way, device: type.deviceId }, lines, systemClock);
  const device = new Device(recordedType(recorder, type), seen, { suspendLimitMs: SUSPEND_LIMIT_MS, ...options });
  const refuseToWake = (reason: Error | undefined): void => {
    block.refusal = reason;
  };
  const place = { memory, allocator, declined: [], isSector, look: () => recorder.look?.() };
  return { ...place, recorder, seen, device, disk, resize, refuseToWake, arrive, trace: lines.lines };
}

function isSector(sector: number, bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === byteOf(sector));
}

async function connect(recorder: Recorder, device: Device, way: TraceTransport): Promise<DriverTransport> {
  if (way === 'direct') return recordedTransport(recorder, new DirectTransport(device));
  if (way === 'mmio') {
    return (await MmioDriverTransport.open(recordedMmio(recorder, new MmioLoopback(new MmioDevice(device)))))!;
  }
  const bus = new PciLoopback(new PciDevice(device));
  return PciDriverTransport.open(recordedPci(recorder, bus, placesOf(memoryLayout.structures)));
}
