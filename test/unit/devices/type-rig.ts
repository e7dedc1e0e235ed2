import { Device } from '../../../src/device/device.ts';
import type { DeviceOptions } from '../../../src/device/device-options.ts';
import type { DeviceType } from '../../../src/device/device-type.ts';
import type { DriverTransport } from '../../../src/driver/transport.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { Feature, type FeatureSet, featureSet } from '../../../src/spec/features.ts';
import { RawQueue, startDevice, WRITE } from '../../support/raw-queue.ts';
import { type Connection, connect, type Way, watch } from '../../support/rig.ts';

const MEMORY = 0x1_8000;
const BUFFERS = 0x1_0000;
const BUFFER_SPACING = 0x800;

/** Time that passes only when a test says so. */
class ManualClock {
  #now = 0;
  #waiting: { readonly at: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const entry = { at: this.#now + delayMs, callback };
    this.#waiting.push(entry);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
    };
  }

  pass(ms: number): void {
    this.#now += ms;
    const due = this.#waiting.filter(({ at }) => at <= this.#now);
    this.#waiting = this.#waiting.filter(({ at }) => at > this.#now);
    for (const { callback } of due) callback();
  }
}

/** Everything that is to happen without time passing has happened. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** A device and its queues, whose buffers a test offers by hand; buffer n of any queue is one of 2 KiB. */
export class RawRig {
  readonly memory: GuestMemory = GuestMemory.over(new Uint8Array(MEMORY));
  readonly clock = new ManualClock();
  readonly queues: readonly RawQueue[];
  readonly #features: FeatureSet;
  readonly #options: DeviceOptions;
  device!: Device;
  events: string[] = [];

  /** Started, with VIRTIO_F_SUSPEND and what else is in `features` negotiated. */
  constructor(type: DeviceType, features: FeatureSet = 0n, options: DeviceOptions = {}) {
    this.#features = features | featureSet(Feature.VERSION_1, Feature.SUSPEND);
    this.#options = { clock: this.clock, suspendLimitMs: 1000, ...options };
    this.queues = type.queues.map((_, index) => new RawQueue(this.memory, 8, 0x1000 * (index + 1)));
    this.replace(type);
    this.start();
  }

  start(): void {
    startDevice(this.device, this.queues, this.#features);
    this.events.length = 0;
  }

  /** The driver resets the device and starts it anew, with empty rings. */
  restart(): void {
    this.device.writeStatus(0);
    this.bytes.fill(0);
    this.start();
  }

  /** Puts a new device of `type` in the place of the present one. */
  replace(type: DeviceType): void {
    this.device = new Device(type, this.memory, this.#options);
    this.events = watch(this.device);
  }

  get bytes(): Uint8Array {
    return this.memory.regions[0]!.bytes;
  }

  address(buffer: number): number {
    return BUFFERS + buffer * BUFFER_SPACING;
  }

  /** Offers a device-writable buffer and kicks. */
  offerWritable(queue: number, buffer: number, length: number): void {
    this.queues[queue]!.descriptor(buffer, { address: this.address(buffer), length, flags: WRITE }).offer(buffer);
    this.device.kick(queue);
  }

  /** Offers a device-readable buffer that holds `bytes`, and kicks. */
  offerReadable(queue: number, buffer: number, bytes: Uint8Array): void {
    const address = this.address(buffer);
    this.bytes.set(bytes, address);
    this.queues[queue]!.descriptor(buffer, { address, length: bytes.length }).offer(buffer);
    this.device.kick(queue);
  }

  /** What the device wrote to each used buffer of a queue, in order. */
  used(queue: number): Uint8Array[] {
    const ring = this.queues[queue]!;
    return Array.from({ length: ring.usedIndex }, (_, position) => {
      const { id, length } = ring.used(position);
      return this.bytes.slice(this.address(id), this.address(id) + length);
    });
  }

  /** The rule that the device says was broken. */
  get rule(): string | undefined {
    return /\[([^\]]*)\]$/.exec(this.device.failure?.message ?? '')?.[1];
  }

  suspend(): void {
    this.device.writeStatus(0x1f);
  }

  resume(): void {
    this.device.writeStatus(0x1f);
  }
}

export interface TypeRig<T, D> extends Connection {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly type: T;
  readonly device: Device;
  readonly driver: D;
  readonly events: string[];
}

/** A device type and its driver over one memory of 1 MiB; not initialised yet. */
export async function makeTypeRig<T extends DeviceType, D>(
  type: T,
  makeDriver: (transport: DriverTransport, allocator: GuestAllocator) => D,
  options: { readonly way?: Way; readonly device?: DeviceOptions } = {},
): Promise<TypeRig<T, D>> {
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const allocator = new GuestAllocator(memory, 0x1000, (1 << 20) - 0x1000);
  const device = new Device(type, memory, options.device);
  const events = watch(device);
  const connection = await connect(device, options.way);
  return {
    ...connection,
    memory,
    allocator,
    type,
    device,
    driver: makeDriver(connection.transport, allocator),
    events,
  };
}
