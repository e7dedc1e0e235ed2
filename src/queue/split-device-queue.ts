import { type GuestMemory, joinU64, type MemoryRegion } from '../memory/guest-memory.ts';
import { loadAcquire, storeRelease } from '../memory/order.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import {
  AVAILABLE_NO_INTERRUPT,
  Available,
  Descriptor,
  DescriptorFlag,
  MAX_SPLIT_QUEUE_SIZE,
  SPLIT_ALIGNMENT,
  splitAreas,
  Used,
} from '../spec/split-ring.ts';
import { addPieces } from './buffer-pieces.ts';
import { Chain, MOST_CHAIN_BYTES, type OrphanCount } from './chain.ts';
import type {
  DeviceQueue,
  QueueFeatures,
  QueueLayout,
  QueueState,
  SplitQueueState,
  TakenRecord,
} from './device-queue.ts';
import { eventPassed } from './notify.ts';
import { TakenOrder } from './taken-order.ts';

// What each buffer needs, as values of this module: those of others are looked up anew at each use (20 ns a buffer, measured).
const { SIZE: DESCRIPTOR_BYTES, LENGTH, FLAGS, NEXT } = Descriptor;
const { NEXT: GOES_ON, WRITE, INDIRECT } = DescriptorFlag;
const { INDEX: AVAILABLE_INDEX, RING: AVAILABLE_RING, ENTRY_SIZE: AVAILABLE_BYTES } = Available;
const { INDEX: USED_INDEX, RING: USED_RING, ENTRY_SIZE: USED_BYTES } = Used;

/** So many chains of a batch are fetched before the first of them is taken. */
const FETCHED_EARLY = 32;

/**
 * The device end of a split virtqueue (§2.7).
 *
 * Memory is the driver's, which may rewrite it at any time: each field is read once into a local, checked, then used.
 * A malformed ring throws ProtocolError; nothing outside the chain's own buffers is ever read or written.
 */
export class SplitDeviceQueue implements DeviceQueue {
  readonly size: number;
  readonly #mask: number;
  readonly #longestTable: number;
  readonly #memory: GuestMemory;
  readonly #layout: QueueLayout;
  readonly #features: QueueFeatures;

  // The three areas, found again whenever the memory's regions changed.
  #generation = -1;
  #descriptors!: MemoryRegion;
  #available!: MemoryRegion;
  #used!: MemoryRegion;

  /** Free-running u16 positions, as in the rings. */
  #availableNext: number;
  #usedNext: number;
  /** The available index last read: everything before it may be taken without another look. */
  #availableSeen: number;
  #usedPublished: number;
  #armedAt = -1;

  readonly #pool: Chain[] = [];
  readonly #chains: Chain[] = [];
  #taken = 0;
  #closed = false;
  /** What is fetched early goes here, or the compiler would leave the fetching out. */
  readonly #fetched = new Uint8Array(1);
  /** Only in an IN_ORDER queue. */
  readonly #order: TakenOrder | undefined;
  readonly #record: TakenRecord | undefined;
  /** Heads of chains that were taken before this queue was made, and are to be taken again; the last one first. */
  readonly #again: number[] = [];

  /** Throws ProtocolError for a layout that no driver may set up, StateError for a `state` that no queue has. */
  constructor(
    memory: GuestMemory,
    layout: QueueLayout,
    features: QueueFeatures,
    state?: QueueState,
    record?: TakenRecord,
  ) {
    checkLayout(layout);
    if (state !== undefined) checkState(state);
    this.#memory = memory;
    this.#layout = layout;
    this.#features = features;
    this.size = layout.size;
    this.#order = features.inOrder === true ? new TakenOrder(layout.size) : undefined;
    this.#mask = layout.size - 1;
    this.#longestTable = features.longestTable ?? layout.size;
    this.#availableNext = this.#availableSeen = state?.availableNext ?? 0;
    this.#usedNext = this.#usedPublished = state?.usedNext ?? 0;
    this.#record = record;
    if (state?.format === 'split') this.#again = [...(state.taken ?? [])].reverse();
    this.#locate();
  }

  get taken(): number {
    return this.#taken;
  }

  take(): Chain | undefined {
    if (this.#closed) return undefined;
    if (this.#memory.generation !== this.#generation) this.#locate();
    if (this.#again.length > 0) return this.#take(this.#again.pop()!, -1);
    const position = this.#availableNext;
    if (position === this.#availableSeen && !this.#look()) return undefined;
    const entry = AVAILABLE_RING + AVAILABLE_BYTES * (position & this.#mask);
    const head = this.#available.view.getUint16(entry, true);
    if (head >= this.size) {
      throw new ProtocolError('split.driver.avail.head', `the available ring names descriptor ${head} of ${this.size}`);
    }
    const chain = this.#take(head, position);
    this.#availableNext = (position + 1) & 0xffff;
    return chain;
  }

  complete(chain: Chain, written: number): void {
    if (!chain.live) throw new RangeError('the chain was handed back before, or its queue was reset');
    if (!Number.isInteger(written) || written < 0 || written > chain.writableBytes) {
      throw new RangeError(`${written} bytes written to a chain of ${chain.writableBytes} device-writable bytes`);
    }
    if (this.#memory.generation !== this.#generation) this.#locate();
    chain.written = written;
    chain.live = false;
    if (this.#order === undefined) this.#use(chain);
    else for (let next = this.#order.shift(); next !== undefined; next = this.#order.shift()) this.#use(next);
  }

  giveBack(chain: Chain): void {
    const before = (this.#availableNext - 1) & 0xffff;
    if (!chain.live || chain.position !== before) {
      throw new RangeError('only the chain that was taken last can be given back');
    }
    this.#availableNext = before;
    this.#order?.pop();
    this.#record?.givenBack(chain);
    this.#release(chain);
  }

  publish(): boolean {
    const before = this.#usedPublished;
    const after = this.#usedNext;
    if (before === after || this.#closed) return false;
    if (this.#memory.generation !== this.#generation) this.#locate();
    this.#record?.publishing();
    storeRelease(this.#used, USED_INDEX, after);
    this.#record?.published(after);
    this.#memory.onWrite?.(this.#layout.deviceArea, splitAreas(this.size).device);
    this.#usedPublished = after;
    if (this.#features.eventIdx) {
      const usedEvent = AVAILABLE_RING + AVAILABLE_BYTES * this.size;
      return eventPassed(loadAcquire(this.#available, usedEvent), after, before);
    }
    return (loadAcquire(this.#available, Available.FLAGS) & AVAILABLE_NO_INTERRUPT) === 0;
  }

  arm(): boolean {
    if (this.#closed) return false;
    if (this.#memory.generation !== this.#generation) this.#locate();
    // Without EVENT_IDX the used flags stay 0: this device always wants kicks.
    if (this.#features.eventIdx && this.#armedAt !== this.#availableNext) {
      const availableEvent = USED_RING + USED_BYTES * this.size;
      storeRelease(this.#used, availableEvent, this.#availableNext);
      this.#memory.onWrite?.(this.#layout.deviceArea + availableEvent, 2);
      this.#armedAt = this.#availableNext;
    }
    return this.#look();
  }

  verify(): void {
    this.#locate();
    this.#look();
    const used = loadAcquire(this.#used, USED_INDEX);
    if (used !== this.#usedPublished) {
      throw new ProtocolError(
        'split.driver.used.index',
        `the used index is ${used}, this device had left it at ${this.#usedPublished}`,
      );
    }
  }

  save(): SplitQueueState {
    if (this.#taken > 0)
      throw new StateError(
        `${this.#taken} chains of this queue are being processed: suspend or pause the device first`,
      );
    if (this.#usedNext !== this.#usedPublished)
      throw new StateError('completed chains of this queue are not published yet');
    return { format: 'split', availableNext: this.#availableNext, usedNext: this.#usedNext };
  }

  close(orphans: OrphanCount = { count: 0 }): void {
    this.#closed = true;
    for (const chain of this.#chains) {
      if (!chain.live) continue;
      chain.live = false;
      chain.orphans = orphans;
      orphans.count++;
    }
  }

  #take(head: number, position: number): Chain {
    const chain = this.#pool[this.#pool.length - 1] ?? this.#spare();
    chain.clear(head);
    chain.position = position;
    this.#walk(chain, head);
    this.#pool.pop();
    chain.live = true;
    this.#order?.push(chain);
    this.#taken++;
    this.#record?.taken(chain, this.#descriptors);
    return chain;
  }

  /** Writes the next used entry. */
  #use(chain: Chain): void {
    const entry = USED_RING + USED_BYTES * (this.#usedNext & this.#mask);
    const view = this.#used.view;
    view.setUint32(entry, chain.id, true);
    view.setUint32(entry + 4, chain.written, true);
    this.#usedNext = (this.#usedNext + 1) & 0xffff;
    this.#record?.used(chain);
    this.#release(chain);
  }

  /** One more chain in the pool. It leaves the pool when it was filled without a fault. */
  #spare(): Chain {
    const chain = new Chain(this.#memory);
    this.#chains.push(chain);
    this.#pool.push(chain);
    return chain;
  }

  #release(chain: Chain): void {
    chain.live = false;
    this.#pool.push(chain);
    this.#taken--;
  }

  /** Reads the available index; true when there is something to take. */
  #look(): boolean {
    const index = loadAcquire(this.#available, AVAILABLE_INDEX);
    const waiting = (index - this.#availableNext) & 0xffff;
    const seen = (this.#availableSeen - this.#availableNext) & 0xffff;
    // The index never goes back, and a driver has at most `size` buffers out, those that we hold included.
    if (waiting < seen || waiting + this.#taken + this.#again.length > this.size) {
      throw new ProtocolError(
        'split.driver.avail.1',
        `the available index is ${index}, ${waiting} past ours, in a queue of ${this.size} of which ${this.#taken} are taken`,
      );
    }
    this.#availableSeen = index;
    if (waiting > 1) this.#fetchEarly(Math.min(waiting, FETCHED_EARLY));
    return waiting > 0;
  }

  /**
   * Touches the descriptors and the first bytes of chains that are to be taken next. They come out of the cache of the driver's
   * processor, and so all at the same time, not one after the other. Nothing is believed of what is read here.
   */
  #fetchEarly(count: number): void {
    const { view } = this.#available;
    const ring = AVAILABLE_RING;
    let sum = 0;
    for (let n = 0; n < count; n++) {
      const head = view.getUint16(ring + AVAILABLE_BYTES * ((this.#availableNext + n) & this.#mask), true);
      if (head >= this.size) break;
      const at = DESCRIPTOR_BYTES * head;
      const table = this.#descriptors.view;
      const address = joinU64(table.getUint32(at, true), table.getUint32(at + 4, true));
      const region = this.#memory.find(address, 1);
      if (region === undefined) break;
      sum ^= region.bytes[address - region.address]!;
    }
    this.#fetched[0] = sum;
  }

  /** Follows a chain from `head`, into its indirect table if it has one. */
  #walk(chain: Chain, head: number): void {
    let view = this.#descriptors.view;
    let table = 0;
    let tableSize = this.size;
    let indirect = false;
    let index = head;
    for (let length = 1; ; length++) {
      const at = table + DESCRIPTOR_BYTES * index;
      const address = joinU64(view.getUint32(at, true), view.getUint32(at + 4, true));
      const bytes = view.getUint32(at + LENGTH, true);
      const flags = view.getUint16(at + FLAGS, true);
      if ((flags & INDIRECT) !== 0) {
        this.#checkIndirect(indirect, flags, bytes);
        const region = this.#memory.locate(address, bytes, 'split.driver.desc.memory', 'an indirect table');
        view = region.view;
        table = address - region.address;
        tableSize = bytes / DESCRIPTOR_BYTES;
        indirect = true;
        index = 0;
        length--;
        continue;
      }
      this.#addSegment(chain, address, bytes, (flags & WRITE) !== 0);
      if ((flags & GOES_ON) === 0) {
        if (chain.readableBytes + chain.writableBytes <= MOST_CHAIN_BYTES) return;
        throw new ProtocolError('split.driver.desc.1', 'a chain of more than 2^32 bytes');
      }
      const most = indirect ? this.#longestTable : this.size;
      if (length >= most) {
        throw new ProtocolError('split.driver.indirect.3', `a chain has more than ${most} descriptors, or loops`);
      }
      index = view.getUint16(at + NEXT, true);
      if (index >= tableSize) {
        throw new ProtocolError('split.driver.desc.next', `a descriptor goes on at ${index} of ${tableSize}`);
      }
    }
  }

  #checkIndirect(inIndirect: boolean, flags: number, bytes: number): void {
    if (!this.#features.indirect) {
      throw new ProtocolError(
        'split.driver.indirect.1',
        'an indirect descriptor, but INDIRECT_DESC was not negotiated',
      );
    }
    if (inIndirect)
      throw new ProtocolError('split.driver.indirect.2', 'an indirect descriptor inside an indirect table');
    if ((flags & GOES_ON) !== 0) {
      throw new ProtocolError('split.driver.indirect.4', 'a descriptor with both INDIRECT and NEXT');
    }
    if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) {
      throw new ProtocolError('split.driver.indirect.length', `an indirect table of ${bytes} bytes`);
    }
  }

  #addSegment(chain: Chain, address: number, bytes: number, writable: boolean): void {
    if (!writable && chain.writableBytes > 0) {
      throw new ProtocolError('split.driver.framing.1', 'a device-readable descriptor after a device-writable one');
    }
    if (bytes === 0) return;
    const region = this.#memory.find(address, bytes);
    if (region === undefined) addPieces(this.#memory, chain, address, bytes, writable, 'split.driver.desc.memory');
    else if (writable) chain.addWritable(region, address - region.address, bytes);
    else chain.addReadable(region, address - region.address, bytes);
  }

  #locate(): void {
    const { descriptorArea, driverArea, deviceArea } = this.#layout;
    const bytes = splitAreas(this.size);
    const rule = 'split.driver.layout.memory';
    this.#descriptors = this.#memory.area(descriptorArea, bytes.descriptor, rule, 'the descriptor table');
    this.#available = this.#memory.area(driverArea, bytes.driver, rule, 'the available ring');
    this.#used = this.#memory.area(deviceArea, bytes.device, rule, 'the used ring');
    this.#generation = this.#memory.generation;
  }
}

function checkLayout(layout: QueueLayout): void {
  const { size, descriptorArea, driverArea, deviceArea } = layout;
  if (!Number.isInteger(Math.log2(size)) || size < 1 || size > MAX_SPLIT_QUEUE_SIZE) {
    throw new ProtocolError(
      'pci.driver.common.3',
      `a split queue of ${size} entries; sizes are powers of two up to ${MAX_SPLIT_QUEUE_SIZE}`,
    );
  }
  const aligned =
    descriptorArea % SPLIT_ALIGNMENT.descriptor === 0 &&
    driverArea % SPLIT_ALIGNMENT.driver === 0 &&
    deviceArea % SPLIT_ALIGNMENT.device === 0;
  if (!aligned) {
    throw new ProtocolError('split.driver.layout.1', 'a part of the queue is not aligned to 16, 2 or 4 bytes');
  }
}

function checkState(state: QueueState): void {
  const { format, availableNext, usedNext } = state;
  if (format !== 'split' || !Number.isInteger(availableNext) || (availableNext & 0xffff) !== availableNext) {
    throw new StateError(`"${format}" at ${availableNext} is no position of a split queue`);
  }
  const between = state.taken?.length ?? 0;
  if ((usedNext & 0xffff) !== usedNext || ((availableNext - usedNext) & 0xffff) !== between) {
    throw new StateError(
      `a queue that took ${availableNext} buffers and used ${usedNext} is not at rest, and what is in between is not known`,
    );
  }
}
