import { describe, expect, it } from 'vitest';
import { Device } from '../../src/device/device.ts';
import type { DevicePort, DeviceType } from '../../src/device/device-type.ts';
import { DirectTransport } from '../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import type { Chain } from '../../src/queue/chain.ts';
import type { DriverQueue } from '../../src/queue/driver-queue.ts';
import { Feature, featureSet } from '../../src/spec/features.ts';
import { type QueueKind, queueKinds } from '../support/queue-pair.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { runs } from '../support/runs.ts';

const { seed: SEED, numRuns: CYCLES } = runs(20_261_123, 10_000);
const MAX_SIZE = 8;
const MEMORY_BYTES = 0x2000;
/** Where the buffers are; what is in them does not matter. */
const DATA = 0x100;

/** Fills every buffer, at once or when told. */
class LateType implements DeviceType {
  readonly deviceId = 63;
  readonly features = 0n;
  readonly queues = [{ maxSize: MAX_SIZE, taking: 'eager' as const }];
  readonly held: Chain[] = [];
  late = false;
  taken = 0;
  #port!: DevicePort;

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    return new Uint8Array(0);
  }

  process(_: number, chain: Chain): void {
    this.taken++;
    this.held.push(chain);
    if (!this.late) this.answer();
  }

  answer(which = 0): void {
    const [chain] = this.held.splice(which, 1);
    this.#port.complete(0, chain!, chain!.writableBytes);
  }
}

/** Both ends of one queue. A buffer is known by the number of bytes that the device writes to it. */
class Line {
  readonly memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
  readonly type = new LateType();
  device: Device;
  readonly transport: DirectTransport;
  readonly queue: DriverQueue;
  readonly #offer: readonly number[];
  /** Numbers of the buffers that came back, in order. */
  readonly back: number[] = [];
  /** What an interrupt does. */
  onInterrupt: () => void = () => this.collect();
  exposed = 0;

  constructor(kind: QueueKind, size: number) {
    this.#offer = [...kind.offer, Feature.RING_RESET];
    this.device = new Device(this.type, this.memory, { offer: this.#offer });
    this.transport = new DirectTransport(this.device);
    this.transport.onUsedBuffer = () => this.onInterrupt();
    this.queue = kind.makeDriver(new GuestAllocator(this.memory, 0x1000, MEMORY_BYTES - 0x1000), size);
    const bits = [Feature.VERSION_1, Feature.SUSPEND, Feature.RING_RESET, ...kind.accept];
    this.transport.writeStatus(0x03);
    this.transport.writeFeatures(featureSet(...bits));
    this.transport.writeStatus(0x0b);
    this.transport.enableQueue(0, this.queue.layout);
    this.transport.writeStatus(0x0f);
  }

  /** Exposes a buffer of so many descriptors; true when the device wants a kick for it. */
  expose(number: number, descriptors: number): boolean {
    const list = new BufferList();
    for (let n = 1; n < descriptors; n++) list.addReadable(DATA, n);
    if (this.queue.offer(list.addWritable(DATA, number)) < 0)
      throw new Error('this test offers more than the queue holds');
    this.exposed++;
    return this.queue.expose();
  }

  send(number: number, descriptors: number): void {
    if (this.expose(number, descriptors)) this.transport.kick(0);
  }

  collect(): void {
    do {
      for (let used = this.queue.collect(); used !== undefined; used = this.queue.collect())
        this.back.push(used.written);
    } while (this.queue.arm());
  }

  get status(): number {
    return this.transport.readStatus();
  }

  /** Asks for a suspend, or for a resume. */
  toggle(): void {
    this.transport.writeStatus(0x1f);
  }

  /** The device goes on as another one, from its saved state. */
  move(): void {
    const saved = JSON.parse(JSON.stringify(this.device.save())) as unknown;
    this.device = new Device(this.type, this.memory, { offer: this.#offer });
    this.device.restore(saved);
    this.transport.connect(this.device);
  }
}

/** Suspends with one chain in processing and, where there is room, one that is only available, from a place in the ring on. */
function suspendAt(kind: QueueKind, size: number, descriptors: number, place: number, moved: boolean): void {
  const line = new Line(kind, size);
  const where = `${descriptors} of ${size} descriptors at ${place}${moved ? ', moved' : ''}`;
  for (let n = 0; n < place; n++) line.send(1, 1);
  line.back.length = 0;
  line.type.late = true;
  line.send(11, descriptors);
  line.toggle();
  const slots = kind.features.indirect ? 1 : descriptors;
  const room = 2 * slots <= size;
  if (room) line.expose(12, descriptors);
  expect([line.status, line.type.held.length], where).toEqual([0x1f, 1]);
  line.type.answer();
  expect([line.status, ...line.back], where).toEqual([0x1b, 11]);
  line.type.late = false;
  if (moved) line.move();
  line.toggle();
  expect([line.status, ...line.back], where).toEqual([0x0f, 11, ...(room ? [12] : [])]);
  line.back.length = 0;
  const after = Array.from({ length: size + 1 }, (_, n) => 20 + n);
  for (const number of after) line.send(number, 1);
  expect(line.back, where).toEqual(after);
}

describe.each(queueKinds.map((kind) => [kind.name, kind] as const))('a suspend, %s:', (_, kind) => {
  const sizes = kind.anySize ? [1, 2, 3, 5, 8] : [1, 2, 8];

  it.each(sizes)('at each place of a ring of %i, in both its rounds, chains over its end included', (size) => {
    for (let descriptors = 1; descriptors <= Math.min(3, size); descriptors++) {
      for (let place = 0; place <= 2 * size; place++) {
        suspendAt(kind, size, descriptors, place, false);
        suspendAt(kind, size, descriptors, place, true);
      }
    }
  });

  it('of a device whose queue is reset meanwhile ends when the back-end has ended; the buffers are touched no more', () => {
    const line = new Line(kind, MAX_SIZE);
    line.type.late = true;
    line.send(5, 2);
    line.send(6, 2);
    line.toggle();
    line.device.resetQueue(0);
    expect(line.status).toBe(0x1f);
    // A driver may take the memory back after the reset of its queue.
    const [region] = line.memory.regions;
    const { bytes } = region!;
    const image = bytes.slice();
    line.memory.remove(region!);
    line.type.answer(1);
    expect(line.status).toBe(0x1f);
    line.type.answer();
    expect(line.status).toBe(0x1b);
    line.memory.add(0, bytes);
    line.toggle();
    line.transport.kick(0);
    expect(line.status).toBe(0x0f);
    expect(Buffer.compare(bytes, image)).toBe(0);
    expect(line.back).toEqual([]);
  });
});

describe.each(queueKinds.filter(({ features }) => features.eventIdx).map((kind) => [kind.name, kind] as const))(
  `%s (seed ${SEED}):`,
  (_, kind) => {
    it(`in ${CYCLES} cycles with a late back-end and a driver that sleeps now and then neither end sleeps over a buffer`, () => {
      const random = randomNumbers(SEED);
      const line = new Line(kind, MAX_SIZE);
      const { type } = line;
      const room = (): boolean => line.queue.outstanding < (kind.features.indirect ? MAX_SIZE : MAX_SIZE / 2);
      let asleep = false;
      line.onInterrupt = () => {
        if (!asleep) line.collect();
      };
      for (let cycle = 1; cycle <= CYCLES; cycle++) {
        type.late = random(4) > 0;
        for (let left = random(4); left > 0 && room(); left--) line.send(1 + (cycle % 50), 1 + random(2));
        for (let left = random(3); left > 0 && type.held.length > 0; left--) type.answer(random(type.held.length));
        asleep = random(5) === 0;
        line.toggle();
        while (type.held.length > 0) type.answer(random(type.held.length));
        if (line.status !== 0x1b) expect.fail(`cycle ${cycle}: the device shows ${line.status.toString(16)}`);
        // Awake again, it looks at its ring once, as a driver does that polled; after that it relies on interrupts.
        if (asleep) line.collect();
        asleep = false;
        const hidden = random(4) === 0 && room();
        if (hidden) line.expose(99, 1);
        line.toggle();
        if (type.taken !== line.exposed) expect.fail(`cycle ${cycle}: the device sleeps over a buffer`);
        if (line.queue.outstanding !== type.held.length) expect.fail(`cycle ${cycle}: the driver sleeps over a buffer`);
      }
      while (type.held.length > 0) type.answer();
      expect(line.back).toHaveLength(line.exposed);
      expect(line.exposed).toBeGreaterThan(CYCLES);
    });
  },
);
