import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Device } from '../../src/device/device.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import type { DriverQueue } from '../../src/queue/driver-queue.ts';
import { Feature, featureSet } from '../../src/spec/features.ts';
import { ControlledConfig, ControlledType, EVENTS } from '../support/controlled-type.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { type QueueKind, queueKinds } from '../support/queue-pair.ts';
import { type Connection, connect, type Way } from '../support/rig.ts';
import { runs } from '../support/runs.ts';

const RUNS = runs(20_261_123, 60);
const QUEUE_SIZE = 4;
const MEMORY_BYTES = 0x4000;
const OTHER_WAYS: readonly Way[] = ['pci io', 'pci memory', 'pci msix', 'vfio-user', 'mmio', 'pci window'];

/** A device with a back-end that does what it is told, and a driver that does so, too, lawful or not. */
class World {
  readonly type = new ControlledType(QUEUE_SIZE);
  readonly memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly clock = new FakeClock();
  readonly device: Device;
  /** What can be seen from outside, in order. */
  readonly trace: string[] = [];
  readonly #kind: QueueKind;
  readonly #allocator = new GuestAllocator(this.memory, 0x1000, MEMORY_BYTES - 0x1000);
  readonly #list = new BufferList().addReadable(0x100, 4).addWritable(0x200, 4);
  #connection!: Connection;
  queues: DriverQueue[] = [];

  constructor(kind: QueueKind) {
    this.#kind = kind;
    this.device = new Device(this.type, this.memory, { offer: kind.offer, clock: this.clock, suspendLimitMs: 1000 });
    this.device.observer = { statusShown: (status) => this.trace.push(`shows 0x${status.toString(16)}`) };
  }

  async connect(way: Way): Promise<this> {
    this.#connection = await connect(this.device, way);
    const { transport } = this.#connection;
    transport.onUsedBuffer = () => {
      this.trace.push('used buffer');
      this.collect();
    };
    transport.onConfigChange = () => this.trace.push('configuration change');
    return this;
  }

  async write(status: number): Promise<void> {
    await this.#connection.transport.writeStatus(status);
  }

  async initialize(): Promise<void> {
    const { transport } = this.#connection;
    await this.write(0);
    for (const queue of this.queues.splice(0)) queue.release();
    await this.write(0x03);
    await transport.writeFeatures(this.features);
    await this.write(0x0b);
    for (const index of this.type.queues.keys()) {
      const queue = this.#kind.makeDriver(this.#allocator, QUEUE_SIZE);
      this.queues.push(queue);
      await transport.enableQueue(index, queue.layout);
    }
    await this.write(0x0f);
  }

  get features(): bigint {
    return featureSet(Feature.VERSION_1, Feature.SUSPEND, ...this.#kind.accept);
  }

  offer(which: number): void {
    const queue = this.queues[which];
    if (queue === undefined) return;
    if (which === EVENTS) queue.offer(new BufferList().addWritable(0x300, 4));
    else queue.offer(this.#list);
    this.trace.push(`wants a kick: ${queue.expose()}`);
  }

  kick(which: number): void {
    this.#connection.transport.kick(which);
  }

  collect(): void {
    for (const [index, queue] of this.queues.entries()) {
      do {
        for (let used = queue.collect(); used !== undefined; used = queue.collect()) {
          this.trace.push(`queue ${index} gave ${used.id} back`);
        }
      } while (queue.arm());
    }
  }

  async writeKnob(value: number): Promise<void> {
    await this.#connection.transport.writeConfig(ControlledConfig.KNOB, 1, value);
  }

  /** What the registers show. */
  async look(): Promise<void> {
    const { transport } = this.#connection;
    const status = await transport.readStatus();
    const generation = await transport.readConfigGeneration();
    this.trace.push(`status 0x${status.toString(16)}, configuration ${generation}`);
    const values: number[] = [];
    for (let at = 0; at < ControlledConfig.BYTES; at++) values.push(await transport.readConfig(at, 1));
    this.trace.push(`${values}`);
  }
}

interface Step {
  readonly name: string;
  readonly weight: number;
  run(world: World, number: number): void | Promise<void>;
}

const STATUS = [0x1f, 0x1f, 0x1f, 0x1b, 0x0f, 0x0b, 0x10, 0x04, 0x00, 0x8f, 0x9f, 0x5b, 0x2f, 0x03];

const STEPS: readonly Step[] = [
  { name: 'initialize', weight: 1, run: (world) => world.initialize() },
  { name: 'suspend or resume', weight: 6, run: (world) => world.write(0x1f) },
  { name: 'any status', weight: 2, run: (world, n) => world.write(STATUS[n % STATUS.length]!) },
  { name: 'offer', weight: 4, run: (world, n) => world.offer(n % 3) },
  { name: 'kick', weight: 4, run: (world, n) => world.kick(n % 4) },
  { name: 'collect', weight: 2, run: (world) => world.collect() },
  {
    name: 'answer when told',
    weight: 2,
    run: ({ type }, n) => {
      type.answering = n % 3 === 0 ? 'at once' : 'when told';
    },
  },
  {
    name: 'answer',
    weight: 4,
    run: ({ type }, n) => {
      if (type.held.length > 0) type.answer(n % type.held.length);
    },
  },
  { name: 'arrive', weight: 2, run: ({ type }, n) => type.arrive(n) },
  { name: 'change', weight: 2, run: ({ type }, n) => type.change(n) },
  { name: 'write a field', weight: 1, run: (world, n) => world.writeKnob(n & 0xff) },
  {
    name: 'stop and start when told',
    weight: 1,
    run: ({ type }, n) => {
      type.stopping = n % 2 === 0 ? 'at once' : 'when told';
      type.starting = n % 3 === 0 ? 'at once' : 'when told';
    },
  },
  {
    name: 'settle',
    weight: 3,
    run: ({ type }, n) => type.steps.shift()?.settle(n % 5 === 0 ? new Error('the back-end does not') : undefined),
  },
  {
    name: 'fail',
    weight: 1,
    run: ({ type }, n) => {
      if (n % 8 === 0) type.port.fail(new Error('the back-end is lost'));
    },
  },
  { name: 'time passes', weight: 1, run: ({ clock }, n) => clock.advance(n % 2 === 0 ? 1 : 1500) },
];

const step = fc.oneof(
  ...STEPS.map(({ weight }, which) => ({ weight, arbitrary: fc.tuple(fc.constant(which), fc.nat(100)) })),
);

async function play(way: Way, kind: QueueKind, steps: readonly (readonly [number, number])[]): Promise<string[]> {
  const world = await new World(kind).connect(way);
  await world.initialize();
  for (const [which, number] of steps) {
    const { name, run } = STEPS[which]!;
    world.trace.push(`-- ${name}`);
    await run(world, number);
    await settle();
    await world.look();
  }
  return world.trace;
}

it.each([0, 3, 7, 11].map((n) => [queueKinds[n]!.name, queueKinds[n]!] as const))(
  `a device is one and the same behind every transport, and through the PCI window: %s queues (seed ${RUNS.seed})`,
  async (_, kind) => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const expected = await play('direct', kind, steps);
        for (const line of expected) if (line.startsWith('shows')) seen.add(line);
        for (const way of OTHER_WAYS) expect(await play(way, kind, steps), way).toEqual(expected);
      }),
      RUNS,
    );
    // The sequences have led everywhere.
    for (const status of [0x00, 0x0f, 0x1f, 0x1b, 0x4f, 0x5b, 0x8f, 0x9b]) {
      expect([...seen]).toContain(`shows 0x${status.toString(16)}`);
    }
  },
);
