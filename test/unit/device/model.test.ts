import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { DevicePort, DeviceType } from '../../../src/device/device-type.ts';
import { DirectTransport } from '../../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import type { Chain } from '../../../src/queue/chain.ts';
import type { DriverQueue } from '../../../src/queue/driver-queue.ts';
import { PackedDriverQueue } from '../../../src/queue/packed-driver-queue.ts';
import { SplitDriverQueue } from '../../../src/queue/split-driver-queue.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../../../src/spec/features.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

const SEED = Number(process.env['SEED'] ?? 20_261_123);
const RUNS = Number(process.env['RUNS'] ?? 150);
const QUEUE_SIZE = 4;
const MEMORY_BYTES = 1 << 13;

/** A device type that keeps buffers until told to complete them, and takes its time to stop and to start. */
class SlowType implements DeviceType {
  readonly deviceId = 99;
  readonly features = 0n;
  readonly queues = [{ maxSize: QUEUE_SIZE, taking: 'eager' as const }];
  readonly held: Chain[] = [];
  /** Steps of the back-end that wait to be settled: a quiesce or a wake. */
  readonly steps: { settle(error?: Error): void }[] = [];
  stepping: 'at once' | 'later' = 'at once';
  value = 0;
  #port!: DevicePort;

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    return Uint8Array.of(this.value);
  }

  process(_: number, chain: Chain): void {
    this.held.push(chain);
  }

  complete(which: number): void {
    const [chain] = this.held.splice(which % this.held.length, 1);
    this.#port.complete(0, chain!, 0);
  }

  change(): void {
    this.value = (this.value + 1) & 0xff;
    this.#port.configChanged();
  }

  fail(): void {
    this.#port.fail(new Error('the back-end is lost'));
  }

  quiesce(): void | Promise<void> {
    return this.#step();
  }

  wake(): void | Promise<void> {
    return this.#step();
  }

  #step(): void | Promise<void> {
    if (this.stepping === 'at once') return;
    return new Promise((resolve, reject) => {
      this.steps.push({ settle: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }
}

/** Device, driver and host together, with what has to hold after every step. */
class World {
  readonly memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly allocator = new GuestAllocator(this.memory, 0x800, MEMORY_BYTES - 0x800);
  readonly clock = new FakeClock();
  readonly features: FeatureSet;
  type = new SlowType();
  device!: Device;
  transport!: DirectTransport;
  queue: DriverQueue | undefined;
  /** Buffers that the driver has out, by id. */
  readonly out = new Set<number>();
  /** A held change that the driver has not been told of. */
  untold = false;
  interrupts = 0;
  pausing = false;
  paused: Promise<void> | undefined;
  /** Memory and interrupts when the device came to rest. */
  atRest: { image: Uint8Array; interrupts: number } | undefined;

  constructor(features: FeatureSet) {
    this.features = features;
    this.makeDevice();
    this.transport = new DirectTransport(this.device);
    this.transport.onUsedBuffer = () => {
      this.interrupts++;
    };
    this.transport.onConfigChange = () => {
      this.interrupts++;
      this.untold = false;
    };
  }

  makeDevice(): void {
    const offer = hasFeature(this.features, Feature.RING_PACKED) ? [Feature.RING_PACKED] : [];
    this.device = new Device(this.type, this.memory, { offer, clock: this.clock, suspendLimitMs: 1000 });
  }

  initialize(): void {
    this.transport.writeStatus(0);
    this.queue?.release();
    this.out.clear();
    this.untold = false;
    this.transport.writeStatus(0x03);
    this.transport.writeFeatures(this.features);
    this.transport.writeStatus(0x0b);
    const options = {
      indirect: hasFeature(this.features, Feature.INDIRECT_DESC),
      eventIdx: hasFeature(this.features, Feature.EVENT_IDX),
    };
    this.queue = hasFeature(this.features, Feature.RING_PACKED)
      ? new PackedDriverQueue(this.allocator, QUEUE_SIZE, options)
      : new SplitDriverQueue(this.allocator, QUEUE_SIZE, options);
    this.transport.enableQueue(0, this.queue.layout);
    this.transport.writeStatus(0x0f);
  }

  /** Puts the type, with what it holds, behind a new device: only at rest, when it holds nothing. */
  move(): void {
    const saved = JSON.parse(JSON.stringify(this.device.save())) as unknown;
    const { value } = this.type;
    this.type = new SlowType();
    this.type.value = value;
    this.makeDevice();
    this.device.restore(saved);
    this.transport.connect(this.device);
  }

  offer(buffers: number): void {
    const list = new BufferList();
    for (let n = 0; n < buffers; n++) list.addReadable(0x100 * (n + 1), 16);
    const id = this.queue!.offer(list);
    if (id < 0) return;
    expect(this.out.has(id)).toBe(false);
    this.out.add(id);
    if (this.queue!.expose()) this.transport.kick(0);
  }

  collect(): void {
    do {
      for (let used = this.queue!.collect(); used !== undefined; used = this.queue!.collect()) {
        // Nothing is used that is not out: so nothing twice.
        expect(this.out.delete(used.id)).toBe(true);
      }
    } while (this.queue!.arm());
  }

  check(): void {
    const { status } = this.device;
    expect([0x00, 0x0f, 0x1f, 0x1b, 0x4f, 0x5b]).toContain(status);
    const { isQuiet } = this.device;
    if (isQuiet) expect(this.device.inFlight).toBe(0);
    if (status === 0x1b && !this.resuming) expect(isQuiet).toBe(true);
    if (this.held) {
      this.atRest ??= { image: this.memory.regions[0]!.bytes.slice(), interrupts: this.interrupts };
      expect(this.interrupts).toBe(this.atRest.interrupts);
      expect(this.memory.regions[0]!.bytes.every((byte, at) => byte === this.atRest!.image[at])).toBe(true);
    } else this.atRest = undefined;
    // What is not held is not withheld: a running device has told every change.
    if (status === 0x0f && !isQuiet && !this.device.paused) expect(this.untold).toBe(false);
  }

  resuming = false;

  /** At rest, and nobody has begun to let it go: memory is compared from then on. The driver writes nothing meanwhile. */
  get held(): boolean {
    return this.device.isQuiet;
  }
}

interface Action {
  readonly name: string;
  readonly may: (world: World) => boolean;
  readonly run: (world: World, number: number) => void | Promise<void>;
}

const running = (world: World): boolean => world.device.status === 0x0f;
const live = (world: World): boolean => world.queue !== undefined && [0x0f, 0x1f].includes(world.device.status);

const ACTIONS: readonly Action[] = [
  {
    name: 'initialize',
    may: (world) => !world.device.isQuiet || !world.device.paused,
    run: (world) => world.initialize(),
  },
  {
    name: 'offer',
    may: (world) => running(world) && !world.device.isQuiet,
    run: (world, n) => world.offer(1 + (n % 3)),
  },
  { name: 'offer again', may: (world) => running(world) && !world.device.isQuiet, run: (world) => world.offer(1) },
  { name: 'collect', may: (world) => live(world) && !world.device.isQuiet, run: (world) => world.collect() },
  { name: 'complete', may: (world) => world.type.held.length > 0, run: (world, n) => world.type.complete(n) },
  {
    name: 'complete all',
    may: (world) => world.type.held.length > 0,
    run: (world) => {
      while (world.type.held.length > 0) world.type.complete(0);
    },
  },
  { name: 'suspend', may: running, run: (world) => world.transport.writeStatus(0x1f) },
  {
    name: 'resume',
    may: (world) => world.device.status === 0x1b,
    run: (world) => {
      world.resuming = true;
      world.transport.writeStatus(0x1f);
    },
  },
  { name: 'odd write', may: live, run: (world, n) => world.transport.writeStatus([0x01, 0x03, 0x0b, 0x2f][n % 4]!) },
  { name: 'kick', may: () => true, run: (world) => world.transport.kick(0) },
  {
    name: 'pause',
    may: (world) => !world.device.paused,
    run: (world) => {
      world.paused = world.device.pause(500).catch(() => {});
    },
  },
  { name: 'continue', may: (world) => world.device.paused, run: (world) => world.device.continue() },
  {
    name: 'change',
    may: () => true,
    run: (world) => {
      if ((world.device.status & 0x04) !== 0 || world.device.status === 0x1b) world.untold = true;
      world.type.change();
    },
  },
  {
    name: 'move',
    may: (world) => world.device.isQuiet && world.type.held.length === 0 && world.device.status !== 0x5b,
    run: (world) => world.move(),
  },
  {
    name: 'stepping later',
    may: () => true,
    run: (world) => {
      world.type.stepping = 'later';
    },
  },
  {
    name: 'stepping at once',
    may: () => true,
    run: (world) => {
      world.type.stepping = 'at once';
    },
  },
  {
    name: 'settle a step',
    may: (world) => world.type.steps.length > 0,
    run: (world) => world.type.steps.shift()!.settle(),
  },
  {
    name: 'fail a step',
    may: (world) => world.type.steps.length > 0,
    run: (world, n) => {
      world.type.steps.shift()!.settle(n % 4 === 0 ? new Error('the back-end does not') : undefined);
    },
  },
  {
    name: 'fail',
    may: (world) => world.queue !== undefined,
    run: (world, n) => {
      if (n % 8 === 0) world.type.fail();
    },
  },
  { name: 'time passes', may: () => true, run: (world, n) => world.clock.advance(n % 2 === 0 ? 10 : 700) },
];

const FEATURE_SETS: readonly (readonly [string, FeatureSet])[] = [
  ['split', featureSet(Feature.VERSION_1, Feature.SUSPEND)],
  [
    'split with event index and indirect descriptors',
    featureSet(Feature.VERSION_1, Feature.SUSPEND, Feature.EVENT_IDX, Feature.INDIRECT_DESC),
  ],
  ['packed', featureSet(Feature.VERSION_1, Feature.SUSPEND, Feature.RING_PACKED)],
  ['packed with event index', featureSet(Feature.VERSION_1, Feature.SUSPEND, Feature.RING_PACKED, Feature.EVENT_IDX)],
];

it.each(FEATURE_SETS)(
  `no sequence of driver, host and back-end loses a buffer or breaks the rest: %s queues (seed ${SEED})`,
  async (_, features) => {
    const script = fc.array(fc.tuple(fc.nat(ACTIONS.length - 1), fc.nat(100)), { minLength: 5, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        const world = new World(features);
        world.initialize();
        for (const [which, number] of steps) {
          const action = ACTIONS[which]!;
          if (!action.may(world)) continue;
          await action.run(world, number);
          await settle();
          if (world.device.status !== 0x1b) world.resuming = false;
          world.check();
        }
        await finish(world);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  },
);

/** From wherever it is, a device goes on: everything that is out comes back, or a reset ends it. */
async function finish(world: World): Promise<void> {
  world.type.stepping = 'at once';
  for (let round = 0; round < 4; round++) {
    while (world.type.steps.length > 0) world.type.steps.shift()!.settle();
    while (world.type.held.length > 0) world.type.complete(0);
    await world.clock.advance(2000);
    if (world.device.paused) world.device.continue();
    if (world.device.status === 0x1b) world.transport.writeStatus(0x1f);
    await settle();
  }
  if ((world.device.status & 0x40) !== 0) {
    world.initialize();
    await settle();
  }
  expect(world.device.status).toBe(0x0f);
  while (world.type.held.length > 0) world.type.complete(0);
  world.collect();
  expect([...world.out]).toEqual([]);
  expect(world.untold).toBe(false);
}
