import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import { BlockDevice } from '../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../src/devices/block/driver.ts';
import type { DriverTransport, Later } from '../../../src/driver/transport.ts';
import { DirectTransport } from '../../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { Feature } from '../../../src/spec/features.ts';
import { Status } from '../../../src/spec/status.ts';
import { FaultyDisk } from '../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { runs } from '../../support/runs.ts';
import { watchRejections } from '../../support/unhandled-rejections.ts';

const RUNS = runs(20_261_123, 100);
const SECTORS = 16;
const SECTOR = 512;
const MEMORY_BYTES = 1 << 16;

/** A transport whose answers and interrupts come late, in an order that a scheduler decides; accesses are made in theirs. */
function delayed(
  direct: DirectTransport,
  scheduler: fc.Scheduler,
  onAccess: (what: string, value: number) => void,
): DriverTransport {
  const later = <T>(value: T): Promise<T> => scheduler.schedule(Promise.resolve(value));
  const soon = (callback: () => (() => void) | undefined): (() => void) => {
    return () => void scheduler.schedule(Promise.resolve()).then(() => callback()?.());
  };
  const transport: DriverTransport = {
    deviceId: direct.deviceId,
    readStatus: () => later(direct.readStatus()),
    writeStatus: (value) => {
      onAccess('status', value);
      direct.writeStatus(value);
      return later(undefined);
    },
    readFeatures: () => later(direct.readFeatures()),
    writeFeatures: (features) => later(direct.writeFeatures(features)) as Later<void>,
    readQueueSize: (index) => later(direct.readQueueSize(index)),
    enableQueue: (index, layout) => later(direct.enableQueue(index, layout)) as Later<void>,
    resetQueue: (index) => later(direct.resetQueue(index)) as Later<void>,
    queueIsReset: (index) => later(direct.queueIsReset(index)),
    readConfigGeneration: () => later(direct.readConfigGeneration()),
    readConfig: (offset, width) => later(direct.readConfig(offset, width)),
    writeConfig: (offset, width, value) => later(direct.writeConfig(offset, width, value)) as Later<void>,
    kick: (queue) => {
      onAccess('kick', queue);
      direct.kick(queue);
    },
    onUsedBuffer: undefined,
    onConfigChange: undefined,
  };
  direct.onUsedBuffer = soon(() => transport.onUsedBuffer);
  direct.onConfigChange = soon(() => transport.onConfigChange);
  return transport;
}

/** Both ends, an application that does what it likes, and what a driver has to keep to. */
class World {
  readonly memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly allocator = new GuestAllocator(this.memory, 0x1000, MEMORY_BYTES - 0x1000);
  readonly clock = new FakeClock();
  readonly disk = new FaultyDisk(new MemoryDisk({ capacitySectors: SECTORS }));
  readonly device: Device;
  readonly driver: BlockDriver;
  readonly requests: { readonly what: string; value: unknown }[] = [];
  readonly wrong: string[] = [];
  /** From the write of SUSPEND until the device runs again or starts anew. */
  #quiet = false;
  /** Something has happened to the device that its driver may not know yet, when it writes what it decided on before. */
  disturbed = false;

  constructor(scheduler: fc.Scheduler, offer: readonly number[]) {
    this.device = new Device(new BlockDevice(this.disk, { queueSize: 8 }), this.memory, { clock: this.clock, offer });
    this.device.observer = {
      statusShown: (status) => {
        if (status === 0x0f || status === 0) this.#quiet = false;
      },
      failed: (error) => this.wrong.push(`the driver broke a rule: ${error.message}`),
    };
    const transport = delayed(new DirectTransport(this.device), scheduler, (what, value) =>
      this.#accessed(what, value),
    );
    this.driver = new BlockDriver(transport, this.allocator, { clock: this.clock });
  }

  request(what: string, promise: Promise<unknown>): void {
    this.requests.push(Object.assign(outcome(promise), { what }));
  }

  #accessed(what: string, value: number): void {
    if (what === 'kick') {
      if (this.#quiet) this.wrong.push('a kick while the device was to be quiet');
      return;
    }
    if (value === 0) this.disturbed = false;
    if (value === 0 || this.disturbed) return;
    const shown = this.device.status;
    const kept = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.FAILED;
    const written = `0x${value.toString(16)} was written over 0x${shown.toString(16)}`;
    if ((value & shown & kept) !== (shown & kept)) this.wrong.push(`${written}, which clears a bit`);
    const asks = (value & Status.SUSPEND) !== 0 && (value & Status.FAILED) === 0;
    if (asks && shown !== 0x0f && shown !== 0x1b) this.wrong.push(written);
    if ((value & Status.SUSPEND) !== 0 && shown === 0x0f) this.#quiet = true;
  }
}

type Step = (world: World, number: number) => void | Promise<void>;

const STEPS: Readonly<Record<string, Step>> = {
  read: ({ driver, requests }, n) => {
    const entry = { what: 'read', value: 'pending' as unknown };
    requests.push(entry);
    driver.read(n % SECTORS, SECTOR).then(
      (bytes) => {
        entry.value = bytes.every((byte) => byte === bytes[0]) ? 'done' : 'torn';
      },
      (error: unknown) => {
        entry.value = error;
      },
    );
  },
  write: (world, n) => world.request('write', world.driver.write(n % SECTORS, new Uint8Array(SECTOR).fill(n))),
  flush: (world) => world.request('flush', world.driver.flush()),
  suspend: (world) => world.request('suspend', world.driver.suspend()),
  'suspend and abort it': (world, n) => {
    const controller = new AbortController();
    world.request('suspend', world.driver.suspend({ signal: controller.signal }));
    world.clock.after(n % 3, () => controller.abort(new Error('changed my mind')));
  },
  resume: (world) => world.request('resume', world.driver.resume()),
  'resume and abort it': (world, n) => {
    const controller = new AbortController();
    world.request('resume', world.driver.resume({ signal: controller.signal }));
    world.clock.after(n % 3, () => controller.abort(new Error('changed my mind')));
  },
  'reset the queue': (world, n) => {
    world.request('queue reset', world.driver.driver.resetQueue(0, { size: n % 2 === 0 ? 8 : 4 }));
  },
  reset: (world) => world.request('reset', world.driver.driver.reset()),
  initialize: (world) => world.request('initialize', world.driver.initialize()),
  'the disk holds': ({ disk }) => disk.hold(),
  'the disk goes on': ({ disk }) => disk.release(),
  'the device fails': (world) => {
    world.disturbed = true;
    fail(world.device);
  },
  'the device is reset behind the driver': (world) => {
    world.disturbed = true;
    world.device.reset();
  },
  'time passes': ({ clock }, n) => clock.advance(n % 50),
};

/** What is rare is drawn rarely. */
const WEIGHTS: Readonly<Record<string, number>> = {
  read: 6,
  write: 6,
  suspend: 5,
  resume: 5,
  'time passes': 5,
  'the disk goes on': 3,
};

/** Without being noted as the driver's fault. */
function fail(device: Device): void {
  const { observer } = device;
  device.observer = { ...observer, failed: () => {} };
  device.fail(new Error('the disk burnt down'));
  device.observer = observer;
}

/** Lets everything go on until nothing does any more. */
async function calm(scheduler: fc.Scheduler, world: World): Promise<void> {
  for (let round = 0; round < 200; round++) {
    while (scheduler.count() > 0) {
      await scheduler.waitOne();
      await settle();
    }
    await settle();
    if (scheduler.count() > 0) continue;
    if (world.clock.pending === 0) return;
    await world.clock.advance(200);
  }
}

it.each([
  ['split', [Feature.RING_RESET]],
  ['packed', [Feature.RING_RESET, Feature.RING_PACKED]],
  ['packed in-order', [Feature.RING_RESET, Feature.RING_PACKED, Feature.IN_ORDER, Feature.NOTIFICATION_DATA]],
] as const)(
  `no application, device or delay makes a driver break a rule or lose a request: %s queues (seed ${RUNS.seed})`,
  async (_, offer) => {
    const rejections = watchRejections();
    rejections.start();
    const done = new Set<string>();
    const names = Object.keys(STEPS).map((name) => ({ arbitrary: fc.constant(name), weight: WEIGHTS[name] ?? 1 }));
    const program = fc.array(fc.tuple(fc.oneof(...names), fc.nat(255), fc.nat(6)), {
      minLength: 4,
      maxLength: 40,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), program, async (scheduler, steps) => {
        const world = new World(scheduler, offer);
        const { driver, disk, allocator } = world;
        world.request('initialize', driver.initialize());
        await calm(scheduler, world);
        expect(driver.driver.state).toBe('running');
        const free = allocator.freeBytes;
        for (const [step, number, turns] of steps) {
          await STEPS[step]!(world, number);
          for (let turn = 0; turn < turns && scheduler.count() > 0; turn++) await scheduler.waitOne();
        }
        disk.release();
        await calm(scheduler, world);
        if (driver.driver.state === 'suspended') world.request('resume', driver.resume());
        await calm(scheduler, world);
        // A device that was reset behind an idle driver is found out by the next who asks.
        if (driver.driver.state !== 'running' || world.device.status !== 0x0f)
          world.request('initialize', driver.initialize());
        await calm(scheduler, world);
        expect(driver.driver.state).toBe('running');
        expect(world.device.status).toBe(0x0f);
        expect(world.wrong.join('; ')).toBe('');
        for (const { what, value } of world.requests) {
          if (value === 'done') done.add(what);
          else expect(value, `${what} ended`).toBeInstanceOf(Error);
        }
        world.request('write', driver.write(1, new Uint8Array(SECTOR).fill(1)));
        await calm(scheduler, world);
        expect(world.requests.at(-1)?.value).toBe('done');
        // Headers and indirect tables are kept for the next request: so many as were ever out at once.
        expect(free - allocator.freeBytes).toBeLessThanOrEqual((steps.length + 1) * 96);
      }),
      RUNS,
    );
    await rejections.stop();
    // The programs have led everywhere.
    for (const what of ['read', 'write', 'suspend', 'resume', 'reset', 'queue reset'])
      expect([...done]).toContain(what);
  },
);
