import { describe, expect, it } from 'vitest';
import { Device } from '../../src/device/device.ts';
import type { DeviceState } from '../../src/device/status-machine.ts';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { SplitDriverQueue } from '../../src/queue/split-driver-queue.ts';
import { Feature, featureSet } from '../../src/spec/features.ts';
import { Available, Descriptor, DescriptorFlag } from '../../src/spec/split-ring.ts';
import { Status } from '../../src/spec/status.ts';
import { ControlledType } from '../support/controlled-type.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { connect, type Way } from '../support/rig.ts';
import { afterWrite, type StatusModel } from '../support/status-model.ts';

const MEMORY_BYTES = 0x1000;

/** A real device behind a real transport, whose back-end stops and starts when told, and a driver with one queue. */
class Rig {
  readonly memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly clock = new FakeClock();
  readonly type = new ControlledType(4);
  readonly device = new Device(this.type, this.memory, { clock: this.clock, suspendLimitMs: 1000 });
  readonly suspend: 'negotiated' | 'not negotiated';
  readonly #queue = new SplitDriverQueue(new GuestAllocator(this.memory, 0x400, MEMORY_BYTES - 0x400), 4, {
    indirect: false,
    eventIdx: false,
  });
  #transport!: DriverTransport;

  constructor(suspend: 'negotiated' | 'not negotiated') {
    this.suspend = suspend;
    this.type.answering = 'when told';
    this.type.stopping = this.type.starting = 'when told';
  }

  async open(way: Way): Promise<this> {
    this.#transport = (await connect(this.device, way)).transport;
    return this;
  }

  async write(...values: readonly number[]): Promise<void> {
    for (const value of values) await this.#transport.writeStatus(value);
  }

  async status(): Promise<number> {
    return await this.#transport.readStatus();
  }

  /** From wherever it is: reset, nothing in processing, nobody waited for, features written that fit or do not. */
  async reset(features: 'fit' | 'do not fit'): Promise<void> {
    await this.write(0);
    await this.finish();
    await this.write(0);
    if (this.device.paused) this.device.continue();
    await this.finish();
    // The rings start anew; the buffer of the last time is still in its place.
    this.memory.regions[0]!.bytes.fill(0, 0x400);
    const bits: number[] = [Feature.VERSION_1];
    if (this.suspend === 'negotiated') bits.push(Feature.SUSPEND);
    if (features === 'do not fit') bits.push(42);
    await this.#transport.writeFeatures(featureSet(...bits));
  }

  /** Lets the back-end do all that is asked of it. */
  async finish(): Promise<void> {
    while (this.type.held.length > 0) this.type.answer();
    while (this.type.steps.length > 0) {
      this.type.steps.shift()!.settle();
      await turn();
    }
  }

  /** Sets the device up, up to a status. */
  async initialize(last: number): Promise<void> {
    await this.write(0x01, 0x03, 0x0b);
    await this.#transport.enableQueue(0, this.#queue.layout);
    if (last !== 0x0b) await this.write(last);
  }

  /** A request that the device takes and keeps; its ring is written by hand, for it starts anew each time. */
  keepBusy(): void {
    const { view } = this.memory.regions[0]!;
    const { descriptorArea, driverArea } = this.#queue.layout;
    for (const [n, flags] of [DescriptorFlag.NEXT, DescriptorFlag.WRITE].entries()) {
      const at = descriptorArea + n * Descriptor.SIZE;
      view.setBigUint64(at, BigInt(0x100 + 0x10 * n), true);
      view.setUint32(at + Descriptor.LENGTH, 4, true);
      view.setUint16(at + Descriptor.FLAGS, flags, true);
      view.setUint16(at + Descriptor.NEXT, n + 1, true);
    }
    view.setUint16(driverArea + Available.INDEX, 1, true);
    this.#transport.kick(0);
    expect(this.type.held).toHaveLength(1);
  }

  /** The next stop or start of the back-end ends. */
  async step(error?: Error): Promise<void> {
    this.type.steps.shift()!.settle(error);
    await turn();
  }
}

async function turn(): Promise<void> {
  for (let n = 0; n < 4; n++) await Promise.resolve();
}

interface Reached {
  readonly name: string;
  readonly shown: number;
  readonly state: DeviceState;
  reach(rig: Rig): Promise<void>;
}

/** Suspended by real means; then what follows. */
async function suspended(rig: Rig): Promise<void> {
  await rig.initialize(0x0f);
  await rig.write(0x1f);
  await rig.step();
}

async function resuming(rig: Rig): Promise<void> {
  await suspended(rig);
  await rig.write(0x1f);
}

function broken(): Error {
  return new Error('broken');
}

/** States that there are without the feature, too. */
const STATES: readonly Reached[] = [
  { name: 'reset', shown: 0, state: 'initializing', reach: async () => {} },
  { name: 'ACKNOWLEDGE', shown: 0x01, state: 'initializing', reach: (rig) => rig.write(0x01) },
  { name: 'DRIVER', shown: 0x03, state: 'initializing', reach: (rig) => rig.write(0x01, 0x03) },
  { name: 'FEATURES_OK', shown: 0x0b, state: 'initializing', reach: (rig) => rig.initialize(0x0b) },
  { name: 'running', shown: 0x0f, state: 'running', reach: (rig) => rig.initialize(0x0f) },
  {
    name: 'running, with a request in processing',
    shown: 0x0f,
    state: 'running',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      rig.keepBusy();
    },
  },
  {
    name: 'running, paused by the host',
    shown: 0x0f,
    state: 'running',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      void rig.device.pause();
    },
  },
  {
    name: 'DEVICE_NEEDS_RESET, failed while running',
    shown: 0x4f,
    state: 'needsReset',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      rig.device.fail(broken());
    },
  },
  {
    name: 'FAILED, given up while running',
    shown: 0x8f,
    state: 'running',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      await rig.write(0x8f);
    },
  },
  { name: 'FAILED, before anything else', shown: 0x80, state: 'initializing', reach: (rig) => rig.write(0x80) },
  {
    name: 'DEVICE_NEEDS_RESET and FAILED',
    shown: 0xcf,
    state: 'needsReset',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      rig.device.fail(broken());
      await rig.write(0xcf);
    },
  },
];

/** States that only the feature leads to. */
const SUSPEND_STATES: readonly Reached[] = [
  {
    name: 'suspending, with a request in processing',
    shown: 0x1f,
    state: 'suspending',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      rig.keepBusy();
      await rig.write(0x1f);
    },
  },
  {
    name: 'suspending, with a back-end that stops',
    shown: 0x1f,
    state: 'suspending',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      await rig.write(0x1f);
    },
  },
  { name: 'suspended', shown: 0x1b, state: 'suspended', reach: suspended },
  {
    name: 'suspended, and paused by the host',
    shown: 0x1b,
    state: 'suspended',
    reach: async (rig) => {
      await suspended(rig);
      await rig.device.pause();
    },
  },
  { name: 'resuming, with a back-end that starts', shown: 0x1b, state: 'resuming', reach: resuming },
  {
    name: 'resuming, and paused by the host',
    shown: 0x1b,
    state: 'resuming',
    reach: async (rig) => {
      await suspended(rig);
      await rig.device.pause();
      await rig.write(0x1f);
    },
  },
  {
    name: 'running again',
    shown: 0x0f,
    state: 'running',
    reach: async (rig) => {
      await resuming(rig);
      await rig.step();
    },
  },
  {
    name: 'DEVICE_NEEDS_RESET, failed to suspend',
    shown: 0x4f,
    state: 'needsReset',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      await rig.write(0x1f);
      await rig.step(broken());
    },
  },
  {
    name: 'DEVICE_NEEDS_RESET, failed while suspended',
    shown: 0x5b,
    state: 'needsReset',
    reach: async (rig) => {
      await suspended(rig);
      rig.device.fail(broken());
    },
  },
  {
    name: 'DEVICE_NEEDS_RESET, failed to resume',
    shown: 0x5b,
    state: 'needsReset',
    reach: async (rig) => {
      await resuming(rig);
      await rig.step(broken());
    },
  },
  {
    name: 'FAILED, given up while suspending',
    shown: 0x9f,
    state: 'suspending',
    reach: async (rig) => {
      await rig.initialize(0x0f);
      await rig.write(0x1f, 0x9f);
    },
  },
  {
    name: 'FAILED, given up while suspended',
    shown: 0x9b,
    state: 'suspended',
    reach: async (rig) => {
      await suspended(rig);
      await rig.write(0x9b);
    },
  },
  {
    name: 'FAILED, given up while resuming',
    shown: 0x9b,
    state: 'resuming',
    reach: async (rig) => {
      await resuming(rig);
      await rig.write(0x9b);
    },
  },
];

/** What becomes of it when the back-end does all that is asked of it. */
function inTheEnd({ shown, state }: StatusModel, paused: boolean): number {
  if (state === 'suspending') return (shown & ~Status.DRIVER_OK) | Status.SUSPEND;
  if (state === 'resuming' && !paused) return (shown & ~Status.SUSPEND) | Status.DRIVER_OK;
  return shown;
}

/** Each of the 256 values, written in one state; what is not as the model says. */
async function differences(
  rig: Rig,
  { reach, shown, state }: Reached,
  features: 'fit' | 'do not fit',
): Promise<unknown[]> {
  const wrong: unknown[] = [];
  for (let value = 0; value < 256; value++) {
    await rig.reset(features);
    await reach(rig);
    const before: StatusModel = { shown: await rig.status(), state };
    if (before.shown !== shown) wrong.push({ reached: before.shown, instead: shown });
    await rig.write(value);
    const expected = afterWrite(before, value, features, rig.suspend);
    const { paused } = rig.device;
    const after = await rig.status();
    await rig.finish();
    const end = await rig.status();
    if (after !== expected.shown || end !== inTheEnd(expected, paused)) wrong.push({ value, after, end, expected });
  }
  return wrong;
}

describe.each(['direct', 'pci memory', 'mmio', 'pci window'] as const)(
  'each of the 256 values, written over %s to a device that is',
  (way) => {
    it.each([...STATES, ...SUSPEND_STATES])('$name', async (state) => {
      expect(await differences(await new Rig('negotiated').open(way), state, 'fit')).toEqual([]);
    });

    it.each(STATES)('$name, without VIRTIO_F_SUSPEND', async (state) => {
      expect(await differences(await new Rig('not negotiated').open(way), state, 'fit')).toEqual([]);
    });

    it.each(STATES.slice(0, 3))('$name, with features that were not offered', async (state) => {
      expect(await differences(await new Rig('negotiated').open(way), state, 'do not fit')).toEqual([]);
    });
  },
);
