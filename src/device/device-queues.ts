import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Chain, OrphanCount } from '../queue/chain.ts';
import type { DeviceQueue, QueueFeatures, QueueLayout, QueueState, TakenRecord } from '../queue/device-queue.ts';
import { PackedDeviceQueue } from '../queue/packed-device-queue.ts';
import { SplitDeviceQueue } from '../queue/split-device-queue.ts';
import { StateError } from '../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import type { Clock } from './clock.ts';
import type { DeviceOptions } from './device-options.ts';
import type { QueueDescription } from './device-type.ts';
import { QueueSlot } from './queue-slot.ts';
import { Quiet } from './quiet.ts';

/** What the queues need of their device. */
export interface DeviceQueuesHooks {
  /** Buffers may be taken. */
  serving(): boolean;
  /** A chain of an eager queue was taken. */
  process(queue: number, chain: Chain): void;
  /** There may be buffers in an onDemand queue. */
  available(queue: number): void;
  /** The driver is to be notified of used buffers. */
  usedBuffer(queue: number): void;
  /** Something in processing has ended. */
  ended(): void;
  /** A driver's mistake, or ours: DEVICE_NEEDS_RESET. Called instead of a guarded closure, which each kick would allocate. */
  failed(error: unknown): void;
}

/** Whoever stops a single queue: one of the two is called, once. */
export interface StopWaiter {
  /** How long what is in processing may take to end. */
  readonly limitMs: number;
  stopped(positions: QueueState): void;
  failed(error: Error): void;
}

/** What a host may do with the queues of a device besides kicking them. */
export interface QueueService {
  /** As if all queues were kicked. */
  scan(): void;

  /**
   * Takes what is available in the eager queues, in one batch each, without asking for kicks: the host looks again soon, or
   * calls `scan` before it waits for one. How many buffers there were.
   */
  poll(): number;

  /**
   * Brings one queue to rest and takes it out of use. Its positions go to `waiter.stopped`, for `Device.enableQueue` to go on
   * from; `waiter.failed` is called, and the queue goes on, when what is in processing does not end in time; also when the queue
   * is reset meanwhile.
   */
  stop(slot: QueueSlot, waiter: StopWaiter): void;
}

/**
 * How often a queue is looked at again in one call. A driver in another thread may add buffers as fast as they are used;
 * status writes, and the other queues, are to have their turn as well.
 */
const ROUNDS_PER_TURN = 64;

/** The same for buffers of an onDemand queue, which its type takes one by one. */
const TAKES_PER_TURN = 4096;

/**
 * The virtqueues of one device: takes buffers while the device serves, counts what is in processing, and publishes what
 * was used, once for each batch.
 *
 * A reset closes the queues at once. Chains that the type still holds are orphaned: their memory is no longer touched,
 * but until all of them are handed back no new buffer is taken, so that an old write to the disk cannot overtake a new one.
 */
export class DeviceQueues implements QueueService {
  readonly slots: readonly QueueSlot[];
  readonly #memory: GuestMemory;
  readonly #hooks: DeviceQueuesHooks;
  readonly #clock: Clock;
  readonly #longestTable: number;
  /** Chains that were out at a reset of the device. */
  readonly #orphans: OrphanCount = { count: 0 };
  /** The device was reset since: orphans of single queues count like its own. */
  #allWait = false;

  constructor(
    descriptions: readonly QueueDescription[],
    memory: GuestMemory,
    hooks: DeviceQueuesHooks,
    { clock, longestTable = 0 }: Pick<DeviceOptions, 'longestTable'> & { readonly clock: Clock },
  ) {
    this.#memory = memory;
    this.#hooks = hooks;
    this.#clock = clock;
    this.#longestTable = longestTable;
    this.slots = descriptions.map((description, index) => {
      return new QueueSlot(index, description, (slot) => this.#quiet(slot));
    });
  }

  /** Chains of a life before the last reset that were not handed back yet: until they are, no queue is served. */
  get orphans(): number {
    return this.#allWait ? this.#orphaned() : 0;
  }

  /** Chains in processing, orphans included. */
  get inFlight(): number {
    let sum = this.#orphaned();
    for (const slot of this.slots) sum += slot.taken;
    return sum;
  }

  #orphaned(): number {
    let sum = this.#orphans.count;
    for (const slot of this.slots) sum += slot.orphans.count;
    return sum;
  }

  /** In processing, or about to be: within a call that takes buffers. */
  get busy(): boolean {
    return this.inFlight > 0 || this.slots.some((slot) => slot.draining);
  }

  /** A queue as the driver set it up, or as it was saved. Throws ProtocolError when it is set up wrongly. */
  make(layout: QueueLayout, accepted: FeatureSet, saved?: QueueState, record?: TakenRecord): DeviceQueue {
    const features: QueueFeatures = {
      indirect: hasFeature(accepted, Feature.INDIRECT_DESC),
      eventIdx: hasFeature(accepted, Feature.EVENT_IDX),
      inOrder: hasFeature(accepted, Feature.IN_ORDER),
      longestTable: Math.max(layout.size, this.#longestTable),
    };
    return hasFeature(accepted, Feature.RING_PACKED)
      ? new PackedDeviceQueue(this.#memory, layout, features, saved, record)
      : new SplitDeviceQueue(this.#memory, layout, features, saved, record);
  }

  /** Makes the queue of an enabled slot. One that is set up wrongly is the device's failure. */
  open(slot: QueueSlot, accepted: FeatureSet, saved?: QueueState): void {
    try {
      slot.queue = this.make(slot.layout, accepted, saved, slot.record);
    } catch (error) {
      this.#hooks.failed(error);
    }
  }

  closeAll(): void {
    for (const slot of this.slots) slot.close(this.#orphans);
    this.#allWait = this.#orphaned() > 0;
  }

  stop(slot: QueueSlot, waiter: StopWaiter): void {
    if (slot.queue === undefined) throw new StateError(`queue ${slot.index} is not in use: it cannot be stopped`);
    slot.quiet.request('transport', {
      limitMs: waiter.limitMs,
      failed: waiter.failed,
      reached: () => {
        const positions = slot.queue!.save();
        this.disable(slot);
        waiter.stopped(positions);
      },
    });
  }

  /** Resets one queue (§2.6.1): nothing of it is left but the orphans, which hold up only this queue. */
  reset(slot: QueueSlot): void {
    this.disable(slot);
    slot.reset();
  }

  disable(slot: QueueSlot): void {
    slot.close(slot.orphans);
    slot.enabled = false;
    this.#ended(slot);
  }

  scan(): void {
    for (const slot of this.slots) this.drain(slot);
  }

  poll(): number {
    let sum = 0;
    for (const slot of this.slots) {
      if (slot.draining || slot.onDemand || !this.#open(slot)) continue;
      slot.draining = true;
      let taken = 0;
      try {
        taken = this.#takeBatch(slot);
      } catch (error) {
        this.#hooks.failed(error);
      }
      sum += taken;
      this.#drained(slot, taken);
    }
    return sum;
  }

  /** Takes what is available in one queue until nothing is left, and tells the driver what was used. */
  drain(slot: QueueSlot): void {
    if (!this.#open(slot)) return;
    if (slot.onDemand) {
      try {
        if (slot.queue!.arm()) this.#hooks.available(slot.index);
      } catch (error) {
        this.#hooks.failed(error);
      }
      return;
    }
    if (slot.draining) {
      slot.again = true;
      return;
    }
    slot.draining = true;
    try {
      this.#takeAll(slot);
    } catch (error) {
      this.#hooks.failed(error);
    }
    this.#drained(slot, 1);
  }

  /** The next buffer of an onDemand queue; with undefined comes the promise of `available` for the next one. */
  take(slot: QueueSlot): Chain | undefined {
    if (!this.#open(slot) || slot.takes === TAKES_PER_TURN) return undefined;
    const queue = slot.queue!;
    const chain = queue.take() ?? (queue.arm() ? queue.take() : undefined);
    if (chain === undefined) slot.takes = 0;
    else slot.served++;
    if (chain !== undefined && ++slot.takes === TAKES_PER_TURN) {
      this.#later(() => {
        slot.takes = 0;
        this.drain(slot);
      });
    }
    return chain;
  }

  giveBack(slot: QueueSlot, chain: Chain): void {
    if (chain.orphans !== undefined) {
      this.#orphanEnded(chain);
      return;
    }
    if (slot.queue === undefined) throw new RangeError('the chain was handed back before');
    slot.queue.giveBack(chain);
    slot.served--;
    this.#ended(slot);
  }

  complete(slot: QueueSlot, chain: Chain, written: number): void {
    if (chain.orphans !== undefined) {
      this.#orphanEnded(chain);
      return;
    }
    if (slot.queue === undefined) throw new RangeError('the chain was handed back before');
    try {
      slot.queue.complete(chain, written);
      if (slot.batching) return;
      this.#publish(slot);
    } catch (error) {
      // A caller's mistake is for the caller: a device type that hands a chain back twice, or claims more than there was.
      if (error instanceof RangeError) throw error;
      this.#hooks.failed(error);
      this.#forget(chain);
    }
    this.#ended(slot);
  }

  /** A chain that the device type does not hold any more, though its device failed over it and orphaned it. */
  #forget(chain: Chain): void {
    if (chain.orphans !== undefined) this.#orphanEnded(chain);
  }

  #process(slot: QueueSlot, chain: Chain): void {
    try {
      this.#hooks.process(slot.index, chain);
    } catch (error) {
      this.#hooks.failed(error);
      this.#forget(chain);
    }
  }

  #orphanEnded(chain: Chain): void {
    chain.orphans!.count--;
    chain.orphans = undefined;
    if (this.#orphaned() === 0) this.#allWait = false;
    this.#hooks.ended();
    this.scan();
  }

  #takeAll(slot: QueueSlot): void {
    const { queue } = slot;
    let rounds = 0;
    do {
      slot.again = false;
      if (rounds++ === ROUNDS_PER_TURN) {
        this.#later(() => this.drain(slot));
        return;
      }
      this.#takeBatch(slot);
      // A kick within the loop says that there may be more, even when arming did not see it.
    } while (this.#open(slot) && slot.queue === queue && (queue!.arm() || slot.again));
  }

  /** Takes what is available now, and shows to the driver what of it was used at once, again and again; how many chains that were. */
  #takeBatch(slot: QueueSlot): number {
    const queue = slot.queue!;
    let taken = 0;
    slot.batching = true;
    for (; this.#open(slot); taken++) {
      const chain = queue.take();
      if (chain === undefined) break;
      this.#process(slot, chain);
      if (isShownAfter(taken + 1)) this.#publish(slot);
    }
    slot.batching = false;
    slot.served += taken;
    if (taken > 0) this.#publish(slot);
    return taken;
  }

  /** The end of a call that took buffers: one that took none has changed nothing. */
  #drained(slot: QueueSlot, taken: number): void {
    slot.draining = slot.batching = false;
    if (taken > 0) this.#ended(slot);
    // A kick that came within this call for a queue that the driver has set up anew meanwhile.
    if (!slot.again) return;
    slot.again = false;
    this.drain(slot);
  }

  /** Buffers of this queue may be taken now. */
  #open(slot: QueueSlot): boolean {
    return slot.queue !== undefined && slot.orphans.count === 0 && slot.quiet.open && this.#hooks.serving();
  }

  #ended(slot: QueueSlot): void {
    slot.quiet.settle();
    this.#hooks.ended();
  }

  #later(callback: () => void): void {
    this.#clock.after(0, callback);
  }

  #quiet(slot: QueueSlot): Quiet {
    const hooks = {
      busy: () => slot.taken > 0 || slot.draining,
      stop: () => {},
      start: () => {},
      opened: () => this.drain(slot),
      startFailed: () => {},
    };
    return new Quiet(hooks, this.#clock);
  }

  #publish(slot: QueueSlot): void {
    if (slot.queue?.publish() === true) this.#hooks.usedBuffer(slot.index);
  }
}

/**
 * In a long batch the first used buffers are shown early: a driver on another processor works on them meanwhile, instead of
 * falling asleep until all are done. Each time costs both sides a cache line, so it gets rarer.
 */
function isShownAfter(taken: number): boolean {
  return taken === 4 || taken === 8 || (taken & 15) === 0;
}
