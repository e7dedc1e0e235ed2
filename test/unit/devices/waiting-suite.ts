/** What every device type owes a suspend whose queue 0 has buffers that wait for something from outside. */
import { expect, it } from 'vitest';
import type { DeviceType } from '../../../src/device/device-type.ts';
import type { FeatureSet } from '../../../src/spec/features.ts';
import { describeStatus } from '../../../src/spec/status.ts';
import { RawRig, settled } from './type-rig.ts';

/** A device type and its outside. */
export interface Waiting {
  readonly type: DeviceType;
  /** Something arrives from outside, marked with `value`. */
  arrive(value: number): void;
}

export interface WaitingKind {
  readonly features: FeatureSet;
  /** What arrives while the device has no use for it is kept, and is part of its saved state. */
  readonly keepsArrivals: boolean;
  /** Bytes of a buffer for one arrival. */
  readonly bufferBytes: number;
  make(): Waiting;
  /** The mark of what a used buffer holds. */
  valueOf(used: Uint8Array): number;
}

/** One way of being quiet. */
interface Way {
  readonly name: string;
  quiet(rig: RawRig): Promise<void>;
  goOn(rig: RawRig): void;
  readonly status: number;
}

const ways: readonly Way[] = [
  {
    name: 'suspended',
    quiet: async (rig) => rig.suspend(),
    goOn: (rig) => rig.resume(),
    status: 0x1b,
  },
  {
    name: 'paused',
    quiet: (rig) => rig.device.pause(),
    goOn: (rig) => rig.device.continue(),
    status: 0x0f,
  },
];

/** A device of a kind, its outside, and what was delivered. */
class Scene {
  readonly outside: Waiting;
  readonly rig: RawRig;
  readonly #kind: WaitingKind;

  /** With so many buffers that wait. */
  constructor(kind: WaitingKind, buffers: number) {
    this.#kind = kind;
    this.outside = kind.make();
    this.rig = new RawRig(this.outside.type, kind.features);
    this.offer(buffers);
  }

  offer(buffers: number): void {
    for (let buffer = 0; buffer < buffers; buffer++) this.rig.offerWritable(0, buffer, this.#kind.bufferBytes);
  }

  /** What was delivered, in order. */
  get values(): number[] {
    return this.rig.used(0).map((bytes) => this.#kind.valueOf(bytes));
  }

  async arrive(value: number): Promise<void> {
    this.outside.arrive(value);
    await settled();
  }

  async expectMistake(): Promise<void> {
    const { rig } = this;
    expect(rig.device.status).toBe(0x4f);
    expect(rig.rule).toMatch(/^[a-z]+\.driver\./);
    expect(rig.queues[0]!.usedIndex).toBe(0);
    rig.restart();
    expect(rig.device.status).toBe(0x0f);
    expect(rig.device.inFlight).toBe(0);
    this.offer(4);
    await this.arrive(77);
    expect(this.values).toContain(77);
  }
}

export function waitingSuite(kind: WaitingKind): void {
  idleBuffers(kind);
  mistakes(kind);
  for (const way of ways) {
    arrivals(kind, way);
    saving(kind, way);
  }
  manyCycles(kind);
}

function idleBuffers(kind: WaitingKind): void {
  it('buffers that wait do not delay a suspend, and none of them is used for it', () => {
    const { rig } = new Scene(kind, 8);
    rig.suspend();
    expect(rig.device.status).toBe(0x1b);
    expect(rig.device.inFlight).toBe(0);
    expect(rig.queues[0]!.usedIndex).toBe(0);
    rig.resume();
    expect(rig.device.status).toBe(0x0f);
    expect(rig.queues[0]!.usedIndex).toBe(0);
    expect(rig.events).toEqual([0x1f, 0x1b, 0x0f].map((status) => `status ${describeStatus(status)}`));
  });
}

function mistakes(kind: WaitingKind): void {
  it('a buffer without a device-writable byte is a driver’s mistake, from which a reset recovers', async () => {
    const scene = new Scene(kind, 0);
    scene.rig.offerWritable(0, 0, 0);
    await scene.arrive(1);
    await scene.expectMistake();
  });

  it('a device-readable buffer is a driver’s mistake, from which a reset recovers', async () => {
    const scene = new Scene(kind, 0);
    scene.rig.offerReadable(0, 0, new Uint8Array(kind.bufferBytes));
    await scene.arrive(1);
    await scene.expectMistake();
  });
}

function arrivals(kind: WaitingKind, way: Way): void {
  it(`what arrives while the device is ${way.name} touches nothing, and is delivered afterwards without a kick`, async () => {
    const scene = new Scene(kind, 4);
    const { rig } = scene;
    await way.quiet(rig);
    rig.events.length = 0;
    const before = Buffer.from(rig.bytes);

    await scene.arrive(42);
    rig.device.kick(0);
    await settled();
    expect(before.equals(rig.bytes)).toBe(true);
    expect(rig.events).toEqual([]);
    expect(rig.device.status).toBe(way.status);

    way.goOn(rig);
    await settled();
    expect(scene.values).toEqual([42]);
    expect(rig.events.filter((event) => event.startsWith('used'))).toEqual(['used 0']);
  });

  it(`memory that is away while the device is ${way.name} is not missed`, async () => {
    const scene = new Scene(kind, 4);
    const { rig } = scene;
    await way.quiet(rig);
    const { bytes } = rig;
    rig.memory.remove(rig.memory.regions[0]!);
    rig.device.kick(0);
    await scene.arrive(43);
    rig.memory.add(0, bytes);
    way.goOn(rig);
    await settled();
    expect(rig.device.failure).toBeUndefined();
    expect(scene.values).toEqual([43]);
  });

  it(`a buffer that is added while the device is ${way.name} is found afterwards`, async () => {
    const scene = new Scene(kind, 0);
    await way.quiet(scene.rig);
    scene.offer(1);
    expect(scene.values).toEqual([]);
    way.goOn(scene.rig);
    await scene.arrive(44);
    expect(scene.values).toEqual([44]);
  });
}

function saving(kind: WaitingKind, way: Way): void {
  it(`saved while ${way.name}, the device goes on as another one`, async () => {
    const scene = new Scene(kind, 4);
    const { rig } = scene;
    await scene.arrive(1);
    expect(scene.values).toEqual([1]);
    await way.quiet(rig);
    await scene.arrive(2);
    const saved = JSON.parse(JSON.stringify(rig.device.save()));

    const other = kind.make();
    rig.replace(other.type);
    rig.device.restore(saved);
    expect(rig.device.status).toBe(way.status);
    expect(scene.values).toEqual([1]);
    way.goOn(rig);
    if (!kind.keepsArrivals) other.arrive(2);
    await settled();
    expect(scene.values).toEqual([1, 2]);
  });
}

function manyCycles(kind: WaitingKind): void {
  it('what arrives between many suspends and resumes is delivered once, in order', async () => {
    const scene = new Scene(kind, 0);
    const { rig } = scene;
    const ring = rig.queues[0]!;
    const got: number[] = [];
    let offered = 0;
    for (let value = 1; value <= 300; value++) {
      while (offered - got.length < 4) rig.offerWritable(0, offered++ % 8, kind.bufferBytes);
      const suspends = (value * 48271) % 7 < 4;
      if (suspends) rig.suspend();
      await scene.arrive(value & 0xff);
      if (suspends) rig.resume();
      await settled();
      while (got.length !== ring.usedIndex) {
        const { id, length } = ring.used(got.length);
        got.push(kind.valueOf(rig.bytes.slice(rig.address(id), rig.address(id) + length)));
      }
    }
    expect(rig.device.failure).toBeUndefined();
    expect(got).toEqual(Array.from({ length: 300 }, (_, i) => (i + 1) & 0xff));
  });
}
