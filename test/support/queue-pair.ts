import { GuestAllocator, type GuestSlice } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import type { Chain } from '../../src/queue/chain.ts';
import type { DeviceQueue, QueueFeatures, QueueState, TakenRecord } from '../../src/queue/device-queue.ts';
import type { DriverQueue } from '../../src/queue/driver-queue.ts';
import { PackedDeviceQueue } from '../../src/queue/packed-device-queue.ts';
import { PackedDriverQueue } from '../../src/queue/packed-driver-queue.ts';
import { SplitDeviceQueue } from '../../src/queue/split-device-queue.ts';
import { SplitDriverQueue } from '../../src/queue/split-driver-queue.ts';
import { Feature } from '../../src/spec/features.ts';

/** One kind of virtqueue that the suites run on. Every kind has to behave the same. */
export interface QueueKind {
  readonly name: string;
  readonly features: QueueFeatures;
  /** What a driver accepts for it, and what of that a device offers only when it is told to. */
  readonly accept: readonly number[];
  readonly offer: readonly number[];
  /** Sizes need not be powers of two. */
  readonly anySize: boolean;
  makeDriver(allocator: GuestAllocator, size: number): DriverQueue;
  makeDevice(memory: GuestMemory, driver: DriverQueue, state?: QueueState, record?: TakenRecord): DeviceQueue;
}

function nameOf(format: string, { indirect, eventIdx, inOrder = false }: QueueFeatures): string {
  return `${format}, ${indirect ? 'indirect' : 'direct'}, ${eventIdx ? 'event index' : 'flags'}${inOrder ? ', in order' : ''}`;
}

function bitsOf(
  { indirect, eventIdx, inOrder = false }: QueueFeatures,
  offer: readonly number[],
): Pick<QueueKind, 'accept' | 'offer'> {
  const onRequest = [...offer, ...(inOrder ? [Feature.IN_ORDER] : [])];
  const always = [...(indirect ? [Feature.INDIRECT_DESC] : []), ...(eventIdx ? [Feature.EVENT_IDX] : [])];
  return { accept: [...always, ...onRequest], offer: onRequest };
}

function split(features: QueueFeatures): QueueKind {
  return {
    name: nameOf('split', features),
    features,
    ...bitsOf(features, []),
    anySize: false,
    makeDriver: (allocator, size) => new SplitDriverQueue(allocator, size, features),
    makeDevice: (memory, driver, state, record) => new SplitDeviceQueue(memory, driver.layout, features, state, record),
  };
}

function packed(features: QueueFeatures): QueueKind {
  return {
    name: nameOf('packed', features),
    features,
    ...bitsOf(features, [Feature.RING_PACKED]),
    anySize: true,
    makeDriver: (allocator, size) => new PackedDriverQueue(allocator, size, features),
    makeDevice: (memory, driver, state, record) =>
      new PackedDeviceQueue(memory, driver.layout, features, state, record),
  };
}

/** In order: the two ends of the rest, for all of it is tried with and without a table and an event index above. */
const combinations: readonly QueueFeatures[] = [
  { indirect: false, eventIdx: false },
  { indirect: false, eventIdx: true },
  { indirect: true, eventIdx: false },
  { indirect: true, eventIdx: true },
  { indirect: false, eventIdx: false, inOrder: true },
  { indirect: true, eventIdx: true, inOrder: true },
];

export const queueKinds: readonly QueueKind[] = [...combinations.map(split), ...combinations.map(packed)];

/**
 * Both ends of one queue over one memory. Requests carry a number: four device-readable bytes of it, to be echoed into
 * four device-writable bytes, so that a buffer mistaken for another is noticed.
 */
export class QueuePair {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly driver: DriverQueue;
  readonly size: number;
  device: DeviceQueue;
  readonly #kind: QueueKind;
  /** Eight bytes for each request that can be out, and then some for tests of their own. */
  readonly data: GuestSlice;
  readonly #list = new BufferList();
  readonly #answerBytes = new Uint8Array(4);
  readonly #answer = new DataView(this.#answerBytes.buffer);
  readonly #freeSlots: number[];
  readonly #slots = new Map<number, { slot: number; token: number }>();

  /** In `shared` memory both ends take care of the order of their accesses. */
  constructor(kind: QueueKind, size: number, sharing: 'ours' | 'shared' = 'ours') {
    this.#kind = kind;
    this.size = size;
    const bytes = 0x8000 + size * 64 + (kind.features.indirect ? size * 48 : 0);
    this.memory = GuestMemory.over(
      new Uint8Array(sharing === 'ours' ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes)),
    );
    this.allocator = new GuestAllocator(this.memory, 0x1000, this.memory.regions[0]!.size - 0x1000);
    this.data = this.allocator.allocate(size * 8 + 64);
    this.driver = kind.makeDriver(this.allocator, size);
    this.device = kind.makeDevice(this.memory, this.driver);
    this.#freeSlots = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  /** Offers request `token` in two descriptors, or one if `buffers` is 1; its id, or -1 when the queue is full. */
  offer(token: number, buffers: 1 | 2 = 2): number {
    const slot = this.#freeSlots.at(-1);
    if (slot === undefined) return -1;
    const { address, offset, region } = this.data;
    region.view.setUint32(offset + slot * 8, token, true);
    region.view.setUint32(offset + slot * 8 + 4, 0xdeadbeef, true);
    this.#list.clear();
    if (buffers === 2) this.#list.addReadable(address + slot * 8, 4);
    this.#list.addWritable(address + slot * 8 + 4, 4);
    const id = this.driver.offer(this.#list);
    if (id < 0) return id;
    if (this.#slots.has(id)) throw new Error(`id ${id} was given to two requests`);
    this.#freeSlots.pop();
    this.#slots.set(id, { slot, token });
    return id;
  }

  /** Completes a chain with an answer of `token`. */
  answer(chain: Chain, token: number): void {
    this.#answer.setUint32(0, token, true);
    chain.write(0, this.#answerBytes, 0, 4);
    this.device.complete(chain, 4);
  }

  /** The next request that came back, and what was written to it. */
  collect(): { id: number; token: number; answer: number; written: number } | undefined {
    const used = this.driver.collect();
    if (used === undefined) return undefined;
    const { id, written } = used;
    const request = this.#slots.get(id);
    if (request === undefined) throw new Error(`id ${id} came back, but was not out`);
    this.#slots.delete(id);
    this.#freeSlots.push(request.slot);
    const answer = this.data.region.view.getUint32(this.data.offset + request.slot * 8 + 4, true);
    return { id, token: request.token, answer, written };
  }

  /** Puts a new device end in place of the old one, which is left as it is: as when its process was killed. */
  replace(state: QueueState, record?: TakenRecord): void {
    this.device = this.#kind.makeDevice(this.memory, this.driver, state, record);
  }

  /** Goes on with a new device end, from the positions that the old one saved. */
  restart(): void {
    const state = JSON.parse(JSON.stringify(this.device.save())) as QueueState;
    this.device.close();
    this.device = this.#kind.makeDevice(this.memory, this.driver, state);
    this.device.verify();
  }

  /** One request of one buffer there and back. */
  answerNext(token: number): void {
    this.offer(token, 1);
    this.driver.expose();
    this.answer(this.device.take()!, token);
    this.device.publish();
    const back = this.collect();
    if (back?.token !== token || back.answer !== token) throw new Error(`request ${token} came back wrong`);
  }
}
