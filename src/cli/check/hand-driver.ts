import { BlockHeader, BlockRequestType, BlockStatus, SECTOR_BYTES } from '../../devices/block/layout.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator, GuestSlice } from '../../memory/allocator.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import type { DriverQueue, UsedBuffer } from '../../queue/driver-queue.ts';
import { PackedDriverQueue } from '../../queue/packed-driver-queue.ts';
import { SplitDriverQueue } from '../../queue/split-driver-queue.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import { describeStatus, Status } from '../../spec/status.ts';

/** The device did not do what a case waits for. */
export class CaseFailed extends Error {}

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** How long a device may take for anything. */
const LIMIT_MS = 2000;
const QUEUE_SIZE = 16;
/** Enough for a frame and its header. */
const ROOM_BYTES = 2048;

/** A buffer for whatever the device has to give. */
interface Room {
  readonly kind: 'room';
  readonly list: BufferList;
}

interface Request {
  readonly kind: 'request';
  readonly data: GuestSlice;
  readonly status: GuestSlice;
  readonly list: BufferList;
  readonly sector: number;
}

/** Where a driver by hand is at work. */
export interface DriverPlace {
  readonly transport: DriverTransport;
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  /** Bits never to accept. */
  readonly declined: readonly number[];
  /** Whether a sector of the disk has these bytes. */
  isSector(sector: number, bytes: Uint8Array): boolean;
  /** Lets the recorder look at the queues, before something is written there. */
  look(): void;
}

export interface StartOptions {
  /** Bits not to accept of those that are offered. */
  readonly decline?: readonly number[];
  /** No queue is enabled. */
  readonly withoutQueue?: 'without a queue';
  /** Bits to accept where they are offered, besides those that a simple driver needs. */
  readonly accept?: readonly number[];
}

/**
 * A driver by hand, of a block device or of one whose first queue is for what comes: it writes the status that a case says, when
 * it says so, and offers, kicks and collects as told. Every answer is checked; reads only, for a case may run against somebody's
 * disk.
 */
export class HandDriver {
  readonly transport: DriverTransport;
  /** What came back, by sector, in order. */
  readonly completed: number[] = [];
  /** Interrupts so far. */
  usedInterrupts = 0;
  configInterrupts = 0;
  offered: FeatureSet = 0n;
  queue: DriverQueue | undefined;
  readonly #place: DriverPlace;
  readonly #allocator: GuestAllocator;
  #tellsNext = false;
  readonly #out: Map<number, Request | Room> = new Map();

  constructor(place: DriverPlace) {
    const { transport, allocator } = place;
    this.#place = place;
    this.transport = transport;
    this.#allocator = allocator;
    transport.onUsedBuffer = () => {
      this.usedInterrupts++;
    };
    transport.onConfigChange = () => {
      this.configInterrupts++;
    };
  }

  /** Up to FEATURES_OK, which the device has to grant. */
  async negotiate({ decline = [], accept = [] }: StartOptions = {}): Promise<void> {
    await this.reset();
    await this.write(0x01);
    await this.write(0x03);
    this.offered = await this.transport.readFeatures();
    const known = featureSet(
      Feature.VERSION_1,
      Feature.SUSPEND,
      Feature.RING_PACKED,
      Feature.RING_RESET,
      Feature.IN_ORDER,
      ...accept,
    );
    const accepted = this.offered & known & ~featureSet(...decline, ...this.#place.declined);
    await this.transport.writeFeatures(accepted);
    this.#tellsNext = hasFeature(accepted, Feature.NOTIFICATION_DATA);
    await this.write(0x0b);
    await this.expectStatus(0x0b);
    this.#makeQueue(accepted);
  }

  /** The whole initialisation. */
  async start(options: StartOptions = {}): Promise<void> {
    await this.negotiate(options);
    if (options.withoutQueue === undefined) await this.enableQueue();
    await this.write(0x0f);
    await this.expectStatus(0x0f);
  }

  async enableQueue(): Promise<void> {
    await this.transport.readQueueSize(0);
    await this.transport.enableQueue(0, this.queue!.layout);
  }

  async reset(): Promise<void> {
    await this.write(0);
    await this.until('the reset', (status) => status === 0);
    this.#out.clear();
  }

  async write(status: number): Promise<void> {
    await this.transport.writeStatus(status);
  }

  async status(): Promise<number> {
    return this.transport.readStatus();
  }

  async expectStatus(expected: number): Promise<void> {
    const status = await this.status();
    if (status !== expected)
      throw new CaseFailed(`the status is ${describeStatus(status)}, not ${describeStatus(expected)}`);
  }

  /** Reads the status, and collects or does what else is said, until it is as wanted. */
  async until(
    what: string,
    reached: (status: number) => boolean,
    look: () => void = () => this.collect(),
  ): Promise<number> {
    const end = performance.now() + LIMIT_MS;
    for (;;) {
      const status = await this.status();
      if (reached(status)) return status;
      if (performance.now() > end) throw new CaseFailed(`${what}: the status is still ${describeStatus(status)}`);
      look();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async suspend(value = 0x1f): Promise<void> {
    await this.write(value);
    await this.untilPair('the suspend', SUSPEND);
    this.collect();
  }

  async resume(value = 0x1f): Promise<void> {
    await this.write(value);
    await this.untilPair('the resume', DRIVER_OK);
  }

  /** Waits for a pair of the two bits; DEVICE_NEEDS_RESET is a failure. */
  async untilPair(what: string, pair: number): Promise<void> {
    const status = await this.until(
      what,
      (s) => (s & DEVICE_NEEDS_RESET) !== 0 || (s & (SUSPEND | DRIVER_OK)) === pair,
    );
    if ((status & DEVICE_NEEDS_RESET) !== 0)
      throw new CaseFailed(`${what}: the device shows ${describeStatus(status)}`);
  }

  /** Makes reads available, without a kick. */
  offer(...sectors: readonly number[]): void {
    this.#place.look();
    for (const sector of sectors) this.#offer(sector);
    this.queue!.expose();
  }

  send(...sectors: readonly number[]): void {
    this.offer(...sectors);
    this.#kick();
  }

  /** As `send`, but kicks only when the device asks for that. */
  sendIfAsked(...sectors: readonly number[]): void {
    this.#place.look();
    for (const sector of sectors) this.#offer(sector);
    if (this.queue!.expose()) this.#kick();
  }

  /** Makes buffers available that the device can write to, and kicks. */
  sendRoom(count: number): void {
    this.#place.look();
    for (let n = 0; n < count; n++) {
      const { address, length } = this.#allocator.allocate(ROOM_BYTES);
      const list = new BufferList().addWritable(address, length);
      this.#out.set(this.queue!.offer(list), { kind: 'room', list });
    }
    this.queue!.expose();
    this.#kick();
  }

  get outstanding(): number {
    return this.#out.size;
  }

  /** Takes back what was used, and checks it. */
  collect(): void {
    const { queue } = this;
    if (queue === undefined || this.#out.size === 0) return;
    do {
      // What was used is recorded before it is answered by another used_event.
      do this.#place.look();
      while (this.#takeUsed(queue) > 0);
    } while (queue.arm());
  }

  /** Waits until everything that is out has come back. */
  async finish(): Promise<void> {
    await this.until('the requests that are out', () => {
      this.collect();
      return this.#out.size === 0;
    });
  }

  /** As `finish`, but looks at the queue only when it has been interrupted since it looked last. */
  async finishByInterrupts(): Promise<void> {
    this.collect();
    let seen = this.usedInterrupts;
    const look = (): void => {
      if (this.usedInterrupts !== seen) this.collect();
      seen = this.usedInterrupts;
    };
    await this.until('an interrupt for the requests that are out', () => this.#out.size === 0, look);
  }

  /** Fills the memory of the queue with ones, and returns what puts back what was there. */
  poisonQueue(): () => void {
    const { layout } = this.queue!;
    const areas = [
      { address: layout.descriptorArea, length: 16 * layout.size },
      // No event index where there is none.
      { address: layout.driverArea, length: 4 },
      { address: layout.deviceArea, length: 4 },
    ].map(({ address, length }) => {
      const region = this.#place.memory.find(address, length)!;
      return region.bytes.subarray(address - region.address, address - region.address + length);
    });
    const before = areas.map((area) => area.slice());
    for (const area of areas) area.fill(0xff);
    return () =>
      areas.forEach((area, n) => {
        area.set(before[n]!);
      });
  }

  /** How many it were. */
  #takeUsed(queue: DriverQueue): number {
    let taken = 0;
    for (let used = queue.collect(); used !== undefined; used = queue.collect(), taken++) this.#answered(used);
    return taken;
  }

  #kick(): void {
    this.transport.kick(0, this.#tellsNext ? this.queue!.nextAvailable : undefined);
  }

  #makeQueue(accepted: FeatureSet): void {
    const features = {
      indirect: false,
      eventIdx: hasFeature(accepted, Feature.EVENT_IDX),
      inOrder: hasFeature(accepted, Feature.IN_ORDER),
    };
    this.queue = hasFeature(accepted, Feature.RING_PACKED)
      ? new PackedDriverQueue(this.#allocator, QUEUE_SIZE, features)
      : new SplitDriverQueue(this.#allocator, QUEUE_SIZE, features);
  }

  #offer(sector: number): void {
    const header = this.#allocator.allocate(BlockHeader.BYTES);
    const data = this.#allocator.allocate(SECTOR_BYTES);
    const status = this.#allocator.allocate(1);
    const { view } = header.region;
    view.setUint32(header.offset + BlockHeader.TYPE, BlockRequestType.IN, true);
    view.setUint32(header.offset + BlockHeader.SECTOR, sector, true);
    status.region.bytes[status.offset] = 0xff;
    const list = new BufferList()
      .addReadable(header.address, header.length)
      .addWritable(data.address, data.length)
      .addWritable(status.address, 1);
    const id = this.queue!.offer(list);
    if (id < 0) throw new RangeError('the case has more requests than its queue has room for');
    this.#out.set(id, { kind: 'request', data, status, list, sector });
  }

  #answered({ id, written }: UsedBuffer): void {
    const out = this.#out.get(id)!;
    this.#out.delete(id);
    if (out.kind === 'request') this.#check(out);
    else if (written === 0) throw new CaseFailed('a buffer that waited comes back empty');
  }

  #check({ data, status, sector }: Request): void {
    this.completed.push(sector);
    const answer = status.region.bytes[status.offset];
    if (answer !== BlockStatus.OK) throw new CaseFailed(`the read of sector ${sector} ends with status ${answer}`);
    const bytes = data.region.bytes.subarray(data.offset, data.offset + data.length);
    if (!this.#place.isSector(sector, bytes)) throw new CaseFailed(`sector ${sector} has other bytes`);
  }
}
