import { type Clock, systemClock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import type { DeviceOptions } from '../../device/device-options.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { recordDevice, recordedType } from '../../record/device.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { SeenMemory } from '../../record/seen-memory.ts';
import { FaultyDisk } from '../../storage/faulty-disk.ts';
import { MemoryDisk } from '../../storage/memory-disk.ts';
import { connect } from './bench-ways.ts';
import type { DriverPlace } from './hand-driver.ts';
import { type WaitingKind, type WaitingType, waitingType } from './waiting-types.ts';

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

export interface BenchOptions {
  readonly way: TraceTransport;
  readonly device?: DeviceOptions;
  /** A block device with two queues, if not said. */
  readonly type?: WaitingKind | undefined;
  /** MSI-X vectors, over PCI. Without any there is INTx. */
  readonly vectors?: number;
  /** Bits that the driver never accepts. */
  readonly declined?: readonly number[];
  readonly clock?: Clock;
  /** Makes the device, if it is to be another than ours. */
  readonly make?: (...of: ConstructorParameters<typeof Device>) => Device;
}

/** A device of ours, a way to it, and a recorder between the two. Each case has one of its own. */
export interface Bench extends DriverPlace {
  /** The one that is connected now. */
  readonly device: Device;
  /** What is behind the device: requests are held here. */
  readonly disk: FaultyDisk;
  resize(sectors: number): void;
  /** Something that the configuration of a type of device other than block says has changed. */
  change(): void;
  /** What a resume fails with from now on; undefined: nothing. */
  refuseToWake(reason: Error | undefined): void;
  /** From now on a resume takes until the result is called. */
  delayWake(): () => void;
  /** Something comes that buffers wait for. To a block device nothing does. */
  arrive(): void;
  /** The device is saved, and goes on in another one. It has to be at rest. */
  move(): void;
  readonly trace: readonly string[];
}

/** A block device that comes back from a suspend as it is told to. */
class SteeredBlock extends BlockDevice {
  readonly #wake: () => void | Promise<void>;

  constructor(disk: FaultyDisk, wake: () => void | Promise<void>) {
    super(disk, { queues: 2 });
    this.#wake = wake;
  }

  wake(): void | Promise<void> {
    return this.#wake();
  }
}

/** Whether a resume succeeds, and when. */
class Wake {
  refusal: Error | undefined;
  #delay: Promise<void> | undefined;

  /** Until the result is called. */
  delay(): () => void {
    let end = (): void => {};
    this.#delay = new Promise((resolve) => {
      end = resolve;
    });
    return () => {
      this.#delay = undefined;
      end();
    };
  }

  now(): void | Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    return this.#delay;
  }
}

/** For a device under test: everything that it shows and tells is recorded. */
export async function makeBench(options: BenchOptions): Promise<Bench> {
  const { way, type: kind, vectors = 0, declined = [], clock = systemClock, make = makeDevice } = options;
  const behind = makeBehind();
  const wake = new Wake();
  const typeNow = (): WaitingType => (kind === undefined ? blockType(behind.disk, wake) : waitingType(kind));
  let type = typeNow();
  const lines = new TraceLines();
  const recorder = new Recorder({ transport: way, device: type.type.deviceId }, lines, clock);
  const deviceIn = (memory: SeenMemory): Device =>
    make(recordedType(recorder, type.type), memory, { suspendLimitMs: SUSPEND_LIMIT_MS, clock, ...options.device });
  const seen = new SeenMemory(behind.memory);
  let device = deviceIn(seen);
  const { transport, registers, move } = await connect(recorder, device, way, vectors);
  const recording = recordDevice(recorder, device, seen);
  return {
    ...behind,
    transport,
    registers,
    clock,
    declined,
    look: () => recorder.look?.(),
    unseen: (action) => unseen(recorder, action),
    get device() {
      return device;
    },
    change: () => type.change(),
    arrive: () => type.arrive(),
    refuseToWake: (reason) => {
      wake.refusal = reason;
    },
    delayWake: () => wake.delay(),
    move: () => {
      type = typeNow();
      const nextSeen = new SeenMemory(behind.memory);
      const next = deviceIn(nextSeen);
      recording.goOnIn(next, nextSeen);
      move(next);
      device = next;
    },
    trace: lines.lines,
  };
}

/** Does something that a recorder does not see of the queues, if they are as before at its end. */
export async function unseen<T>(recorder: Recorder, action: () => Promise<T>): Promise<T> {
  const { look } = recorder;
  recorder.look = undefined;
  try {
    return await action();
  } finally {
    recorder.look = look;
  }
}

/** What every bench has: memory, and a disk with sectors that can be told from each other. */
export function makeBehind(): Pick<Bench, 'memory' | 'allocator' | 'disk' | 'resize' | 'isSector'> {
  const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  const allocator = new GuestAllocator(memory, FIRST_FREE, MEMORY_BYTES - FIRST_FREE);
  return { memory, allocator, isSector, ...makeDisk() };
}

/** What is on a disk with sectors that can be told from each other. */
export function diskBytes(): Uint8Array {
  const bytes = new Uint8Array(SECTORS * SECTOR_BYTES);
  for (let sector = 0; sector < SECTORS; sector++) {
    bytes.fill(byteOf(sector), sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  }
  return bytes;
}

export function makeDisk(): { readonly disk: FaultyDisk; resize(sectors: number): void } {
  const memoryDisk = new MemoryDisk({ bytes: diskBytes() });
  return { disk: new FaultyDisk(memoryDisk), resize: (sectors) => memoryDisk.resize(sectors) };
}

function makeDevice(...of: ConstructorParameters<typeof Device>): Device {
  return new Device(...of);
}

/** Nothing comes to a disk; it is changed by `resize`. */
function blockType(disk: FaultyDisk, wake: Wake): WaitingType {
  return { type: new SteeredBlock(disk, () => wake.now()), arrive: () => {}, change: () => {} };
}

export function isSector(sector: number, bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === byteOf(sector));
}
