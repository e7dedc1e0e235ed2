import type { GuestAllocator } from '../memory/allocator.ts';
import type { QueueFeatures } from '../queue/device-queue.ts';
import type { DriverQueue } from '../queue/driver-queue.ts';
import { PackedDriverQueue } from '../queue/packed-driver-queue.ts';
import { SplitDriverQueue } from '../queue/split-driver-queue.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import { MAX_SPLIT_QUEUE_SIZE } from '../spec/split-ring.ts';
import type { Life } from './life.ts';
import { RequestQueue } from './request-queue.ts';
import type { DriverTransport } from './transport.ts';

/** The virtqueues of one driver: how they are set up, all of them or one anew, and what becomes of their memory. */
export class DriverQueues {
  readonly #transport: DriverTransport;
  readonly #allocator: GuestAllocator;
  #queues: RequestQueue[] = [];
  /** Queues of former lives, whose memory the device may still know. */
  readonly #abandoned: RequestQueue[] = [];

  constructor(transport: DriverTransport, allocator: GuestAllocator) {
    this.#transport = transport;
    this.#allocator = allocator;
  }

  get list(): readonly RequestQueue[] {
    return this.#queues;
  }

  /** Sets up and enables `count` queues of at most `mostEntries`, for a device past FEATURES_OK. Throws when `life` has ended. */
  async setUp(count: number, mostEntries: number, features: FeatureSet, life: Life): Promise<void> {
    for (let index = 0; index < count; index++) {
      const size = Math.min(await this.#readSize(index, features), mostEntries);
      life.check();
      const queue = this.#make(size, features);
      this.#queues.push(new RequestQueue(index, queue, this.#kick(features)));
      await this.#transport.enableQueue(index, queue.layout);
      life.check();
    }
  }

  /**
   * Rings for a queue that is to be reset, of as many entries as before unless told otherwise. Throws RangeError for a queue
   * or a size that there is not, and when memory runs out.
   */
  makeNext(index: number, size: number | undefined, features: FeatureSet): DriverQueue {
    const queue = this.#queues[index];
    if (queue === undefined) throw new RangeError(`there is no queue ${index}`);
    return this.#make(size ?? queue.size, features);
  }

  /**
   * Resets one queue and enables it again with other rings, `next` (§2.6.1); `untilReset` waits for the device. Throws when
   * `life` has ended.
   */
  async replace(index: number, next: DriverQueue, life: Life, untilReset: () => Promise<void>): Promise<void> {
    const queue = this.#queues[index]!;
    let inUse = false;
    queue.hold();
    try {
      await this.#transport.resetQueue(index);
      life.check();
      await untilReset();
      life.check();
      const largest = await this.#transport.readQueueSize(index);
      life.check();
      if (largest < next.layout.size)
        throw new ProtocolError('pci.device.common.15', `queue ${index} has only ${largest} entries after its reset`);
      // What was used before the reset is handed back; the rest the device has forgotten.
      queue.collect();
      inUse = true;
      queue.replace(next, new StateError(`queue ${index} was reset by its driver`));
    } finally {
      if (!inUse) next.release();
    }
    await this.#transport.enableQueue(index, next.layout);
    life.check();
    queue.letGo();
  }

  /** How many entries the device lets a queue have. */
  async #readSize(index: number, features: FeatureSet): Promise<number> {
    const largest = await this.#transport.readQueueSize(index);
    if (largest === 0) throw new ProtocolError('pci.device.common.14', `the device has no queue ${index}`);
    const anySize = hasFeature(features, Feature.RING_PACKED);
    if (largest > MAX_SPLIT_QUEUE_SIZE || !(anySize || Number.isInteger(Math.log2(largest)))) {
      throw new ProtocolError('pci.device.common.15', `queue ${index} of the device has ${largest} entries`);
    }
    return largest;
  }

  /** A queue of the negotiated format. Throws RangeError for a size that there is not, and when memory runs out. */
  #make(size: number, features: FeatureSet): DriverQueue {
    const queueFeatures: QueueFeatures = {
      indirect: hasFeature(features, Feature.INDIRECT_DESC),
      eventIdx: hasFeature(features, Feature.EVENT_IDX),
      inOrder: hasFeature(features, Feature.IN_ORDER),
    };
    return hasFeature(features, Feature.RING_PACKED)
      ? new PackedDriverQueue(this.#allocator, size, queueFeatures)
      : new SplitDriverQueue(this.#allocator, size, queueFeatures);
  }

  /** Hands back what was used. Throws ProtocolError when the device lies. */
  collect(): void {
    for (const queue of this.#queues) queue.collect();
  }

  hold(): void {
    for (const queue of this.#queues) queue.hold();
  }

  letGo(): void {
    for (const queue of this.#queues) queue.letGo();
  }

  /** Every request is lost; the rings' memory stays taken until `release`. */
  abandon(reason: Error): void {
    const queues = this.#queues;
    this.#queues = [];
    this.#abandoned.push(...queues);
    for (const queue of queues) queue.abandon(reason);
  }

  /** Gives back the memory of abandoned queues; the device was reset. */
  release(): void {
    for (const queue of this.#abandoned.splice(0)) queue.release();
  }

  #kick(features: FeatureSet): (queue: number, nextAvailable: number) => void {
    return hasFeature(features, Feature.NOTIFICATION_DATA)
      ? (queue, nextAvailable) => this.#transport.kick(queue, nextAvailable)
      : (queue) => this.#transport.kick(queue);
  }
}
