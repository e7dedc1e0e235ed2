import { type Clock, systemClock } from '../../device/clock.ts';
import { BlockConfig, BlockFeature } from '../../devices/block/layout.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import type { GuestAllocator } from '../../memory/allocator.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { PackedDriverQueue } from '../../queue/packed-driver-queue.ts';
import { SplitDriverQueue } from '../../queue/split-driver-queue.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../../spec/features.ts';
import { describeStatus, Status } from '../../spec/status.ts';
import { CaseFailed, expect } from './case-failed.ts';
import { HandQueue } from './hand-queue.ts';
import type { ShownRegisters } from './shown-registers.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** How long a device may take for anything. */
const LIMIT_MS = 2000;
const LONGEST_PAUSE_MS = 20;
const QUEUE_SIZE = 16;

/** Where a driver by hand is at work. */
export interface DriverPlace {
  readonly transport: DriverTransport;
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  /** Bits never to accept. */
  readonly declined: readonly number[];
  /** Where there are any that can be read. */
  readonly registers?: ShownRegisters | undefined;
  /** The system's, if not said. */
  readonly clock?: Clock;
  /** Whether a sector of the disk has these bytes. */
  isSector(sector: number, bytes: Uint8Array): boolean;
  /** Lets the recorder look at the queues, before something is written there. */
  look(): void;
  /** Does something about the queues that the recorder is not to see. */
  unseen<T>(action: () => Promise<T>): Promise<T>;
}

export interface StartOptions {
  /** Bits not to accept of those that are offered. */
  readonly decline?: readonly number[];
  /** Bits to accept where they are offered, besides those that a simple driver needs. */
  readonly accept?: readonly number[];
  /** How many queues are made at most. More than one only of a block device with VIRTIO_BLK_F_MQ. 1. */
  readonly queues?: number;
}

/**
 * A driver by hand, of a block device or of one whose first queue is for what comes: it writes the status that a case says, when
 * it says so, and offers, kicks and collects as told. It only reads where a case does not write on purpose, for it may be at
 * somebody's disk.
 */
export class HandDriver {
  readonly transport: DriverTransport;
  readonly registers: ShownRegisters | undefined;
  /** Requests that were done, by sector, in order. */
  readonly completed: number[] = [];
  /** Interrupts so far. */
  usedInterrupts = 0;
  configInterrupts = 0;
  offered: FeatureSet = 0n;
  queues: readonly HandQueue[] = [];
  readonly #place: DriverPlace;
  readonly #clock: Clock;
  #accepted: FeatureSet = 0n;
  /** Bytes that sectors are full of since this driver has written there. */
  readonly #written: Map<number, number> = new Map();

  constructor(place: DriverPlace) {
    const { transport, registers, clock = systemClock } = place;
    this.#place = place;
    this.#clock = clock;
    this.transport = transport;
    this.registers = registers;
    transport.onUsedBuffer = () => {
      this.usedInterrupts++;
    };
    transport.onConfigChange = () => {
      this.configInterrupts++;
    };
  }

  // ---- Status ----

  /** Up to FEATURES_OK, which the device has to grant. */
  async negotiate({ decline = [], accept = [], queues = 1 }: StartOptions = {}): Promise<void> {
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
      Feature.INDIRECT_DESC,
      ...(queues > 1 ? [BlockFeature.MQ] : []),
      ...accept,
    );
    const accepted = this.offered & known & ~featureSet(...decline, ...this.#place.declined);
    await this.transport.writeFeatures(accepted);
    this.#accepted = accepted;
    await this.write(0x0b);
    await this.expectStatus(0x0b);
    const isMany = queues > 1 && hasFeature(accepted, BlockFeature.MQ);
    const there = isMany ? await this.transport.readConfig(BlockConfig.NUM_QUEUES, 2) : 1;
    this.queues = Array.from({ length: Math.min(queues, there) }, (_, index) => this.#makeQueue(index));
  }

  /** The whole initialisation. */
  async start(options: StartOptions = {}): Promise<void> {
    await this.negotiate(options);
    for (const queue of this.queues) await this.enable(queue);
    await this.write(0x0f);
    await this.expectStatus(0x0f);
  }

  async enable({ index, ring }: HandQueue): Promise<void> {
    await this.transport.readQueueSize(index);
    await this.transport.enableQueue(index, ring.layout);
  }

  async reset(): Promise<void> {
    await this.write(0);
    await this.until('the reset', (status) => status === 0);
    this.queues = [];
  }

  async write(status: number): Promise<void> {
    await this.transport.writeStatus(status);
  }

  async status(): Promise<number> {
    return this.transport.readStatus();
  }

  async expectStatus(expected: number): Promise<void> {
    const status = await this.status();
    expect(status === expected, `the status is ${describeStatus(status)}, not ${describeStatus(expected)}`);
  }

  /** The device has many turns in which it could do what it must not; it shows this status in each. */
  async stays(status: number): Promise<void> {
    for (let turn = 0; turn < 10; turn++) {
      await this.expectStatus(status);
      await this.#pause();
    }
  }

  /** What a device elsewhere has sent is given time to come: the last interrupt of a case, above all. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn++) {
      await this.status();
      await this.#pause();
    }
  }

  /** Reads the status, and collects or does what else is said, until it is as wanted. */
  async until(
    what: string,
    reached: (status: number) => boolean,
    look: () => void = () => this.collect(),
  ): Promise<number> {
    const end = this.#clock.now() + LIMIT_MS;
    for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const status = await this.status();
      if (reached(status)) return status;
      if (this.#clock.now() > end) throw new CaseFailed(`${what}: the status is still ${describeStatus(status)}`);
      look();
      await this.#pause(pauseMs);
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
    expect((status & DEVICE_NEEDS_RESET) === 0, `${what}: the device shows ${describeStatus(status)}`);
  }

  // ---- Queues ----

  /** Resets the first queue, and enables another one in its place. What was out is forgotten. */
  async renewQueue(): Promise<void> {
    const { index } = this.queue;
    await this.transport.resetQueue(index);
    const end = this.#clock.now() + LIMIT_MS;
    while (!(await this.transport.queueIsReset(index))) {
      if (this.#clock.now() > end) throw new CaseFailed('the queue is not reset');
      await this.#pause();
    }
    const renewed = this.#makeQueue(index);
    this.queues = this.queues.with(index, renewed);
    await this.enable(renewed);
  }

  get queue(): HandQueue {
    return this.queues[0]!;
  }

  /** To the first queue; likewise what comes next. */
  offer(...sectors: readonly number[]): void {
    this.queue.offer(...sectors);
  }

  send(...sectors: readonly number[]): void {
    this.queue.send(...sectors);
  }

  sendWrite(sector: number, byte: number): void {
    this.#written.set(sector, byte);
    this.queue.sendWrite(sector, byte);
  }

  get outstanding(): number {
    return this.queues.reduce((sum, { outstanding }) => sum + outstanding, 0);
  }

  collect(): void {
    for (const queue of this.queues) queue.collect();
  }

  /** Waits until everything that is out has come back. */
  async finish(): Promise<void> {
    await this.until('the requests that are out', () => {
      this.collect();
      return this.outstanding === 0;
    });
  }

  /** As `finish`, but looks at the queues only when it has been interrupted since it looked last. */
  async finishByInterrupts(): Promise<void> {
    this.collect();
    let seen = this.usedInterrupts;
    const look = (): void => {
      if (this.usedInterrupts !== seen) this.collect();
      seen = this.usedInterrupts;
    };
    await this.until('an interrupt for the requests that are out', () => this.outstanding === 0, look);
  }

  /** Does something while the memory of all queues is full of ones; it is as before at the end. */
  async poisoned(action: () => Promise<void>): Promise<void> {
    await this.#place.unseen(async () => {
      const restores = this.queues.map((queue) => queue.poison());
      try {
        await action();
      } finally {
        for (const restore of restores) restore();
      }
    });
  }

  /** What the rings hold, and the buffers that are out. */
  queueBytes(): Buffer {
    return Buffer.concat(this.queues.map((queue) => queue.bytes()));
  }

  #pause(ms = 1): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }

  #makeQueue(index: number): HandQueue {
    const { allocator, memory } = this.#place;
    const accepted = this.#accepted;
    const tellsNext = hasFeature(accepted, Feature.NOTIFICATION_DATA);
    const features = {
      indirect: hasFeature(accepted, Feature.INDIRECT_DESC),
      eventIdx: hasFeature(accepted, Feature.EVENT_IDX),
      inOrder: hasFeature(accepted, Feature.IN_ORDER),
    };
    const isPacked = hasFeature(accepted, Feature.RING_PACKED);
    const Ring = isPacked ? PackedDriverQueue : SplitDriverQueue;
    return new HandQueue(index, new Ring(allocator, QUEUE_SIZE, features), {
      memory,
      allocator,
      isPacked,
      look: () => this.#place.look(),
      kick: (queue, next) => this.transport.kick(queue, tellsNext ? next : undefined),
      done: (sector) => void this.completed.push(sector),
      isSector: (sector, bytes) => this.#isSector(sector, bytes),
    });
  }

  #isSector(sector: number, bytes: Uint8Array): boolean {
    const written = this.#written.get(sector);
    return written === undefined ? this.#place.isSector(sector, bytes) : bytes.every((byte) => byte === written);
  }
}
