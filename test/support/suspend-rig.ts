import { expect } from 'vitest';
import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import type { DriverTransport, Later } from '../../src/driver/transport.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { MmioLoopback } from '../../src/hosts/loopback/mmio.ts';
import { GuestAllocator, type GuestSlice } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import type { DriverQueue } from '../../src/queue/driver-queue.ts';
import { Feature, type FeatureSet, featureSet } from '../../src/spec/features.ts';
import { MmioDevice } from '../../src/transports/mmio/device.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { PciDevice } from '../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { ControlledType, EVENTS } from './controlled-type.ts';
import { FakeClock } from './fake-clock.ts';
import { type QueueKind, queueKinds } from './queue-pair.ts';
import { pciBus, pciOptions, ways } from './rig.ts';

export type Way = (typeof ways)[number];

/** What the suspend suite runs on. */
export interface Setting {
  readonly way: Way;
  readonly ring: QueueKind;
}

/** What no transport has to do with: all kinds of rings over the shortest way. */
export const ringSettings: readonly (readonly [string, Setting])[] = queueKinds.map((ring) => [
  ring.name,
  { way: 'direct', ring },
]);

/** The rings that differ most. What differs between the ways does not depend on the kind of ring. */
const extremes = [queueKinds[0]!, queueKinds.at(-1)!];

export const settings: typeof ringSettings = ways.flatMap((way) =>
  (way === 'direct' ? queueKinds : extremes).map((ring) => [`${way}, ${ring.name}`, { way, ring }] as const),
);

const QUEUE_SIZE = 8;
const MEMORY_BYTES = 0x8000;
const POISON = 0xa5;

export interface SuspendRigOptions extends DeviceOptions {
  /** Features that the driver does not accept. */
  readonly decline?: readonly number[];
  /** Queues that the driver does not enable. */
  readonly leaveOut?: readonly number[];
}

/**
 * A driver by hand: it writes the status that a test says, over a real transport, and has real queues. The device is a
 * ControlledType. Whatever happens between the two is in `events`, in order.
 */
export class SuspendRig {
  readonly setting: Setting;
  readonly memory: GuestMemory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly allocator: GuestAllocator = new GuestAllocator(this.memory, 0x1000, MEMORY_BYTES - 0x1000);
  readonly clock: FakeClock = new FakeClock();
  readonly options: SuspendRigOptions;
  type: ControlledType = new ControlledType(QUEUE_SIZE);
  device!: Device;
  transport!: DriverTransport;
  pci: PciDevice | undefined;
  mmio: MmioDevice | undefined;
  /** `status 1b` when it is shown, `used` and `config` when the driver is interrupted, `collect 0:7` when it finds a buffer. */
  readonly events: string[] = [];
  queues: DriverQueue[] = [];
  /** What an interrupt does besides; collects by default. */
  onInterrupt: () => void = () => this.collect();
  #connect!: (device: Device) => void;
  #slots: GuestSlice | undefined;
  #free: number[] = [];
  readonly #out: Map<number, { readonly slot: number; readonly token: number }>[] = [];
  readonly #list = new BufferList();

  private constructor(setting: Setting, options: SuspendRigOptions) {
    this.setting = setting;
    this.options = options;
  }

  /** Device and driver that have not met yet. */
  static async make(setting: Setting, options: SuspendRigOptions = {}): Promise<SuspendRig> {
    const rig = new SuspendRig(setting, options);
    rig.device = rig.#makeDevice();
    await rig.#open();
    rig.transport.onUsedBuffer = () => {
      rig.events.push('used');
      rig.onInterrupt();
    };
    rig.transport.onConfigChange = () => rig.events.push('config');
    return rig;
  }

  /** As `make`, and initialised. */
  static async start(setting: Setting, options?: SuspendRigOptions): Promise<SuspendRig> {
    const rig = await SuspendRig.make(setting, options);
    await rig.initialize();
    rig.events.length = 0;
    return rig;
  }

  /** What the driver accepts. */
  get features(): FeatureSet {
    const { offer = [] } = this.options;
    return (
      featureSet(Feature.VERSION_1, Feature.SUSPEND, ...this.setting.ring.accept, ...offer) &
      ~featureSet(...(this.options.decline ?? []))
    );
  }

  /** Resets the device and sets it up, up to FEATURES_OK unless told otherwise. */
  async initialize(last = 0x0f): Promise<void> {
    this.write(0);
    for (const queue of this.queues) queue.release();
    if (this.#slots !== undefined) this.allocator.release(this.#slots);
    this.#slots = this.allocator.allocate(3 * QUEUE_SIZE * 16);
    this.#free = Array.from({ length: 3 * QUEUE_SIZE }, (_, n) => n);
    this.write(0x01);
    this.write(0x03);
    await this.transport.writeFeatures(this.features);
    this.write(0x0b);
    this.queues = [];
    for (const index of this.type.queues.keys()) {
      this.#out[index] = new Map();
      const queue = this.setting.ring.makeDriver(this.allocator, QUEUE_SIZE);
      this.queues.push(queue);
      if (this.options.leaveOut?.includes(index) === true) continue;
      await this.transport.enableQueue(index, queue.layout);
    }
    if (last !== 0x0b) this.write(last);
  }

  /** Resets a queue that is in use and sets it up anew; what it had is lost. */
  async resetQueue(index: number): Promise<void> {
    await this.transport.resetQueue(index);
    this.queues[index]!.release();
    this.#free.push(...[...this.#out[index]!.values()].map(({ slot }) => slot));
    this.#out[index] = new Map();
    this.queues[index] = this.setting.ring.makeDriver(this.allocator, QUEUE_SIZE);
    await this.transport.enableQueue(index, this.queues[index]!.layout);
  }

  get status(): number {
    return now(this.transport.readStatus());
  }

  write(status: number): void {
    now(this.transport.writeStatus(status));
  }

  suspend(): void {
    this.write(0x1f);
  }

  resume(): void {
    this.write(0x1f);
  }

  kick(queue: number): void {
    this.transport.kick(queue);
  }

  /** Offers requests, in two descriptors each, or buffers for events; shows them and kicks if asked to. */
  send(queue: number, ...tokens: readonly number[]): void {
    this.expose(queue, ...tokens);
    this.kick(queue);
  }

  /** As `send`, without a kick; true when the device wants one. False for a full queue. */
  expose(queue: number, ...tokens: readonly number[]): boolean {
    for (const token of tokens) this.#offer(queue, token);
    return this.queues[queue]!.expose();
  }

  /** Room for one more buffer. */
  hasRoom(queue: number): boolean {
    const { indirect } = this.setting.ring.features;
    return this.outstanding(queue) < (indirect || queue === EVENTS ? QUEUE_SIZE : QUEUE_SIZE / 2);
  }

  outstanding(queue: number): number {
    return this.queues[queue]!.outstanding;
  }

  /** Takes back what was used in all queues, checks the answers, notes it. The tokens, by queue and in order. */
  collect(): number[][] {
    return this.queues.map((queue, index) => {
      const tokens: number[] = [];
      do {
        for (let used = queue.collect(); used !== undefined; used = queue.collect()) {
          const token = this.#answered(index, used.id);
          this.events.push(`collect ${index}:${token}`);
          tokens.push(token);
        }
      } while (queue.arm());
      return tokens;
    });
  }

  /** The configuration space, and its generation before and after. */
  async readConfig(offset: number, length: number): Promise<{ bytes: Uint8Array; before: number; after: number }> {
    const before = await this.transport.readConfigGeneration();
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = await this.transport.readConfig(offset + i, 1);
    return { bytes, before, after: await this.transport.readConfigGeneration() };
  }

  /** Whether the interrupt line is up; undefined where there is none in use. */
  get interruptPending(): boolean | undefined {
    if (this.setting.way === 'pci msix') return undefined;
    return this.pci?.interruptLine ?? this.mmio?.interruptLine;
  }

  /** Runs `action` while other bytes are in the place of all guest memory, and then once more without any. Both go unnoticed. */
  async untouched(action: () => void | Promise<void>): Promise<void> {
    const { failure } = this.device;
    const [region] = this.memory.regions;
    const { bytes } = region!;
    const poison = new Uint8Array(bytes.length).fill(POISON);
    this.memory.replace(region!, poison);
    await action();
    expect(poison.every((byte) => byte === POISON)).toBe(true);
    this.memory.replace(region!, bytes);
    expect(this.device.failure).toBe(failure);
    await this.withoutMemory(action);
    expect(this.device.failure).toBe(failure);
  }

  /** Runs `action` without any guest memory: whoever looks for it fails. Nobody has kept a part of it to write to. */
  async withoutMemory(action: () => void | Promise<void>): Promise<void> {
    const [region] = this.memory.regions;
    const { bytes } = region!;
    const image = Uint8Array.from(bytes);
    this.memory.remove(region!);
    await action();
    this.memory.add(0, bytes);
    expect(Buffer.compare(bytes, image)).toBe(0);
  }

  /** Puts a new device, with the state that this one saves, behind the driver. */
  move(options: { readonly type?: ControlledType } = {}): void {
    const saved = JSON.parse(JSON.stringify((this.pci ?? this.mmio ?? this.device).save())) as unknown;
    const { value } = this.type;
    this.type = options.type ?? new ControlledType(QUEUE_SIZE);
    if (options.type === undefined) this.type.value = value;
    const next = this.#makeDevice();
    if (this.setting.way === 'direct') next.restore(saved);
    this.#connect(next);
    this.device = next;
    (this.pci ?? this.mmio)?.restore(saved);
  }

  #makeDevice(): Device {
    const { offer = [], ...rest } = this.options;
    const device = new Device(this.type, this.memory, {
      clock: this.clock,
      suspendLimitMs: 1000,
      ...rest,
      offer: [...offer, ...this.setting.ring.offer],
    });
    device.observer = {
      statusShown: (status) => this.events.push(`status ${status.toString(16).padStart(2, '0')}`),
    };
    return device;
  }

  async #open(): Promise<void> {
    const { way } = this.setting;
    if (way === 'direct') {
      const transport = new DirectTransport(this.device);
      this.transport = transport;
      this.#connect = (device) => transport.connect(device);
    } else if (way === 'mmio') {
      this.mmio = new MmioDevice(this.device);
      const bus = new MmioLoopback(this.mmio);
      this.transport = (await MmioDriverTransport.open(bus))!;
      this.#connect = (device) => {
        this.mmio = new MmioDevice(device);
        bus.connect(this.mmio);
      };
    } else {
      const options = pciOptions(this.device, way);
      this.pci = new PciDevice(this.device, options);
      const bus = pciBus(this.pci, way);
      this.transport = await PciDriverTransport.open(bus);
      this.#connect = (device) => {
        this.pci = new PciDevice(device, options);
        bus.connect(this.pci);
      };
    }
  }

  #offer(queue: number, token: number): void {
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error('this test has too many buffers out');
    const { address, offset, region } = this.#slots!;
    region.view.setUint32(offset + slot * 16, token, true);
    region.view.setUint32(offset + slot * 16 + 8, 0xdeadbeef, true);
    this.#list.clear();
    if (queue !== EVENTS) this.#list.addReadable(address + slot * 16, 4);
    this.#list.addWritable(address + slot * 16 + 8, 4);
    const id = this.queues[queue]!.offer(this.#list);
    if (id < 0) throw new Error(`queue ${queue} is full`);
    if (this.#out[queue]!.has(id)) throw new Error(`id ${id} was given to two buffers`);
    this.#out[queue]!.set(id, { slot, token });
  }

  #answered(queue: number, id: number): number {
    const out = this.#out[queue]!.get(id);
    if (out === undefined) throw new Error(`id ${id} came back from queue ${queue}, but was not out`);
    this.#out[queue]!.delete(id);
    this.#free.push(out.slot);
    const { offset, region } = this.#slots!;
    const answer = region.view.getUint32(offset + out.slot * 16 + 8, true);
    if (queue === EVENTS) return answer;
    if (answer !== out.token) throw new Error(`request ${out.token} was answered with ${answer}`);
    return out.token;
  }
}

/** What a loopback answers within the call. */
function now<T>(value: Later<T>): T {
  if (value instanceof Promise) throw new Error('this transport answers later');
  return value;
}
