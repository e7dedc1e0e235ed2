import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Chain, OrphanCount } from '../queue/chain.ts';
import type { DeviceQueue, QueueFeatures, QueueLayout, QueueState } from '../queue/device-queue.ts';
import { PackedDeviceQueue } from '../queue/packed-device-queue.ts';
import { SplitDeviceQueue } from '../queue/split-device-queue.ts';
import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import type { QueueDescription } from './device-type.ts';
import { QueueSlot } from './queue-slot.ts';

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
  /** Calls back in a later turn of the event loop. */
  later(callback: () => void): void;
  /** A driver's mistake, or ours: DEVICE_NEEDS_RESET. Called instead of a guarded closure, which each kick would allocate. */
  failed(error: unknown): void;
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
export class DeviceQueues {
  readonly slots: readonly QueueSlot[];
  readonly #memory: GuestMemory;
  readonly #hooks: DeviceQueuesHooks;
  /** Chains that were out at a reset of the device. */
  readonly #orphans: OrphanCount = { count: 0 };
  /** The device was reset since: orphans of single queues count like its own. */
  #allWait = false;

  constructor(descriptions: readonly QueueDescription[], memory: GuestMemory, hooks: DeviceQueuesHooks) {
    this.slots = descriptions.map((description, index) => new QueueSlot(index, description));
    this.#memory = memory;
    this.#hooks = hooks;
  }

  /** Chains of a life before the last reset that were not handed back yet: until they are, no queue is served. */
  get orphans(): number {
    return this.#allWait ? this.#orphaned : 0;
  }

  /** Chains in processing, orphans included. */
  get inFlight(): number {
    let sum = this.#orphaned;
    for (const slot of this.slots) sum += slot.taken;
    return sum;
  }

  get #orphaned(): number {
    let sum = this.#orphans.count;
    for (const slot of this.slots) sum += slot.orphans.count;
    return sum;
  }

  /** In processing, or about to be: within a call that takes buffers. */
  get busy(): boolean {
    return this.inFlight > 0 || this.slots.some((slot) => slot.draining);
  }

  /** A queue as the driver set it up, or as it was saved. Throws ProtocolError when it is set up wrongly. */
  make(layout: QueueLayout, accepted: FeatureSet, saved?: QueueState): DeviceQueue {
    const features: QueueFeatures = {
      indirect: hasFeature(accepted, Feature.INDIRECT_DESC),
      eventIdx: hasFeature(accepted, Feature.EVENT_IDX),
      inOrder: hasFeature(accepted, Feature.IN_ORDER),
    };
    return hasFeature(accepted, Feature.RING_PACKED)
      ? new PackedDeviceQueue(this.#memory, layout, features, saved)
      : new SplitDeviceQueue(this.#memory, layout, features, saved);
  }

  /** Makes the queue of an enabled slot; throws as `make` does. */
  open(slot: QueueSlot, accepted: FeatureSet, saved?: QueueState): void {
    slot.queue = this.make(slot.layout, accepted, saved);
  }

  closeAll(): void {
    for (const slot of this.slots) slot.close(this.#orphans);
    this.#allWait = this.#orphaned > 0;
  }

  /** Resets one queue (§2.6.1): nothing of it is left but the orphans, which hold up only this queue. */
  reset(slot: QueueSlot): void {
    this.disable(slot);
    slot.reset();
  }

  disable(slot: QueueSlot): void {
    slot.close(slot.orphans);
    slot.enabled = false;
    this.#hooks.ended();
  }

  /** Takes what is available in all queues, kicked or not. */
  scan(): void {
    for (const slot of this.slots) this.drain(slot);
  }

  /** Takes what is available in one queue until nothing is left, and tells the driver what was used. */
  drain(slot: QueueSlot): void {
    const { queue } = slot;
    if (queue === undefined || slot.orphans.count > 0 || !this.#hooks.serving()) return;
    if (slot.description.taking === 'onDemand') {
      try {
        if (queue.arm()) this.#hooks.available(slot.index);
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
    slot.draining = slot.batching = false;
    this.#hooks.ended();
    // A kick that came within this call for a queue that the driver has set up anew meanwhile.
    if (slot.again) {
      slot.again = false;
      this.drain(slot);
    }
  }

  /** The next buffer of an onDemand queue; with undefined comes the promise of `available` for the next one. */
  take(slot: QueueSlot): Chain | undefined {
    const { queue } = slot;
    if (queue === undefined || slot.orphans.count > 0 || !this.#hooks.serving()) return undefined;
    if (slot.takes === TAKES_PER_TURN) return undefined;
    const chain = queue.take() ?? (queue.arm() ? queue.take() : undefined);
    if (chain === undefined) slot.takes = 0;
    else if (++slot.takes === TAKES_PER_TURN) {
      this.#hooks.later(() => {
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
    this.#hooks.ended();
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
    this.#hooks.ended();
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
    if (this.#orphaned === 0) this.#allWait = false;
    this.#hooks.ended();
    this.scan();
  }

  #takeAll(slot: QueueSlot): void {
    const { queue } = slot;
    if (queue === undefined) return;
    let rounds = 0;
    do {
      slot.again = false;
      if (rounds++ === ROUNDS_PER_TURN) {
        this.#hooks.later(() => this.drain(slot));
        return;
      }
      slot.batching = true;
      while (this.#hooks.serving()) {
        const chain = queue.take();
        if (chain === undefined) break;
        this.#process(slot, chain);
      }
      slot.batching = false;
      this.#publish(slot);
      // A kick within the loop says that there may be more, even when arming did not see it.
    } while (this.#hooks.serving() && slot.queue === queue && (queue.arm() || slot.again));
  }

  #publish(slot: QueueSlot): void {
    if (slot.queue?.publish() === true) this.#hooks.usedBuffer(slot.index);
  }
}
