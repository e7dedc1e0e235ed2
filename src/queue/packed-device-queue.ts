import { type GuestMemory, joinU64, type MemoryRegion } from '../memory/guest-memory.ts';
import { loadAcquire, storeRelease } from '../memory/order.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import { EventFlag, EventSuppression, PackedDescriptor, PackedFlag } from '../spec/packed-ring.ts';
import { Chain, MOST_CHAIN_BYTES, type OrphanCount } from './chain.ts';
import type {
  DeviceQueue,
  PackedQueueState,
  QueueFeatures,
  QueueLayout,
  QueueState,
  TakenPackedChain,
  TakenRecord,
} from './device-queue.ts';
import { packedEventPassed } from './notify.ts';
import { addSegment, checkLayout, positionOf } from './packed-layout.ts';
import { TakenOrder } from './taken-order.ts';

// What each buffer needs, as values of this module: those of others are looked up anew at each use.
const { SIZE: DESCRIPTOR_BYTES, LENGTH, ID, FLAGS } = PackedDescriptor;
const { NEXT, WRITE, INDIRECT, AVAILABLE, USED } = PackedFlag;

/** What says of a descriptor whether it is available or used, and in which round. */
const MARKS = AVAILABLE | USED;

/**
 * The device end of a packed virtqueue (§2.8).
 *
 * Used descriptors overwrite the ring from the used position on, so everything of a chain is read when it is taken. The
 * flags of the first used descriptor of a batch are written last, by `publish`: the driver sees the whole batch or nothing.
 */
export class PackedDeviceQueue implements DeviceQueue {
  readonly size: number;
  readonly #memory: GuestMemory;
  readonly #layout: QueueLayout;
  readonly #features: QueueFeatures;

  #generation = -1;
  #ring!: MemoryRegion;
  #driverArea!: MemoryRegion;
  #deviceArea!: MemoryRegion;

  /** Positions in the ring; each with what the marks of a descriptor are there, which is its wrap counter. */
  #availableNext: number;
  #availableMarks: number;
  #usedNext: number;
  #usedMarks: number;
  /** Descriptors used since the last `publish`; the first of them waits for its flags. */
  #unpublished = 0;
  #firstAt = 0;
  #firstFlags = 0;
  #armedAt = -1;
  /** Where the last used descriptor is, as far as this object has written it. */
  #lastUsed = -1;

  readonly #pool: Chain[] = [];
  readonly #chains: Chain[] = [];
  #taken = 0;
  #closed = false;
  /** Only in an IN_ORDER queue. */
  readonly #order: TakenOrder | undefined;
  readonly #record: TakenRecord | undefined;
  /** Chains that were taken before this queue was made, and are to be taken again; the last one first. */
  #again: TakenPackedChain[] = [];

  /** Throws ProtocolError for a layout that no driver may set up, StateError for a `state` that no queue has. */
  constructor(
    memory: GuestMemory,
    layout: QueueLayout,
    features: QueueFeatures,
    state?: QueueState,
    record?: TakenRecord,
  ) {
    checkLayout(layout);
    this.#memory = memory;
    this.#layout = layout;
    this.#features = features;
    this.size = layout.size;
    this.#order = features.inOrder === true ? new TakenOrder(layout.size) : undefined;
    const { next, wrap } = state === undefined ? { next: 0, wrap: 1 } : positionOf(state, layout.size);
    this.#availableNext = this.#usedNext = next;
    this.#availableMarks = wrap === 1 ? AVAILABLE : USED;
    this.#usedMarks = wrap === 1 ? MARKS : 0;
    this.#record = record;
    this.#locate();
    if (state?.format === 'packed' && state.taken !== undefined) this.#goOn(state.taken);
  }

  // Methods: a private getter is a call into the engine each time.

  /** The wrap counters, as 0 or 1. */
  #availableWrap(): number {
    return this.#availableMarks === AVAILABLE ? 1 : 0;
  }

  #usedWrap(): number {
    return this.#usedMarks === 0 ? 0 : 1;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Descriptors that are taken and not used yet, of which there are some: those between the two positions. */
  #held(): number {
    const between = this.#availableNext - this.#usedNext;
    return between > 0 ? between : between + this.size;
  }

  take(): Chain | undefined {
    if (this.#closed) return undefined;
    if (this.#memory.generation !== this.#generation) this.#locate();
    if (this.#again.length > 0) return this.#takeAgain();
    const flags = this.#flags();
    if ((flags & MARKS) !== this.#availableMarks) return undefined;
    const chain = this.#pool[this.#pool.length - 1] ?? this.#spare();
    chain.clear(0);
    this.#walk(chain, flags);
    if (this.#taken > 0 && this.#held() + chain.slots > this.size) {
      throw new ProtocolError('packed.driver.desc.count', `more than ${this.size} descriptors are available at once`);
    }
    this.#taking(chain);
    this.#advance(chain.slots);
    this.#record?.taken(chain, this.#ring);
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
    const before = this.#availableNext - chain.slots;
    const wrapped = before < 0;
    const position = wrapped ? before + this.size : before;
    if (!chain.live || chain.position !== position)
      throw new RangeError('only the chain that was taken last can be given back');
    this.#availableNext = position;
    if (wrapped) this.#availableMarks ^= MARKS;
    this.#order?.pop();
    this.#record?.givenBack(chain);
    this.#release(chain);
  }

  publish(): boolean {
    const count = this.#unpublished;
    if (count === 0 || this.#closed) return false;
    if (this.#memory.generation !== this.#generation) this.#locate();
    this.#record?.publishing();
    storeRelease(this.#ring, this.#firstAt + FLAGS, this.#firstFlags);
    this.#record?.published(this.#usedNext);
    this.#memory.onWrite?.(this.#layout.descriptorArea, DESCRIPTOR_BYTES * this.size);
    this.#unpublished = 0;
    const flags = loadAcquire(this.#driverArea, EventSuppression.FLAGS);
    if (!this.#features.eventIdx || flags !== EventFlag.DESCRIPTOR) return flags !== EventFlag.DISABLE;
    const event = loadAcquire(this.#driverArea, EventSuppression.POSITION);
    return packedEventPassed(event, this.#usedNext, this.#usedWrap(), count, this.size);
  }

  arm(): boolean {
    if (this.#closed) return false;
    if (this.#memory.generation !== this.#generation) this.#locate();
    const position = this.#availableNext | (this.#availableWrap() << 15);
    // Without EVENT_IDX the structure stays as the driver made it, all zero: this device always wants kicks.
    if (this.#features.eventIdx && this.#armedAt !== position) {
      storeRelease(this.#deviceArea, EventSuppression.POSITION, position);
      storeRelease(this.#deviceArea, EventSuppression.FLAGS, EventFlag.DESCRIPTOR);
      this.#memory.onWrite?.(this.#layout.deviceArea, EventSuppression.SIZE);
      this.#armedAt = position;
    }
    return (this.#flags() & MARKS) === this.#availableMarks;
  }

  verify(): void {
    this.#locate();
    for (let index = 0; index < this.size; index++) {
      const flags = loadAcquire(this.#ring, DESCRIPTOR_BYTES * index + FLAGS);
      const available = (flags & AVAILABLE) !== 0 ? 1 : 0;
      const used = (flags & USED) !== 0 ? 1 : 0;
      // The counter of the round in which this device passed the descriptor: used under another one it was not by us.
      const round = index < this.#usedNext ? this.#usedWrap() : this.#usedWrap() ^ 1;
      const foreign = available === used && used !== round;
      // A descriptor in the middle of a chain keeps its flags; the one that was written keeps them until it is available again.
      const undone = index === this.#lastUsed && available === round && used !== round;
      if (!foreign && !undone) continue;
      throw new ProtocolError(
        'packed.driver.desc.used',
        `descriptor ${index} is ${foreign ? 'used' : 'available'} as this device, now at ${this.#usedNext}, did not leave it`,
      );
    }
  }

  save(): PackedQueueState {
    if (this.#taken > 0) {
      throw new StateError(
        `${this.#taken} chains of this queue are being processed: suspend or pause the device first`,
      );
    }
    if (this.#unpublished > 0) throw new StateError('completed chains of this queue are not published yet');
    return {
      format: 'packed',
      availableNext: this.#availableNext,
      availableWrap: this.#availableWrap(),
      usedNext: this.#usedNext,
      usedWrap: this.#usedWrap(),
    };
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

  /** Writes the next used descriptor, but for the flags of the first of a batch. */
  #use(chain: Chain): void {
    const next = this.#usedNext;
    const { slots } = chain;
    const at = DESCRIPTOR_BYTES * next;
    const { view } = this.#ring;
    view.setUint32(at + LENGTH, chain.written, true);
    // §2.8.3.1: both bits equal the used wrap counter. WRITE says that the length means something.
    const flags = this.#usedMarks | (chain.written > 0 ? WRITE : 0);
    if (this.#unpublished === 0) {
      view.setUint16(at + ID, chain.id, true);
      this.#firstAt = at;
      this.#firstFlags = flags;
    } else view.setUint32(at + ID, chain.id | (flags << 16), true);
    this.#lastUsed = next;
    this.#unpublished += slots;
    const after = next + slots;
    if (after < this.size) this.#usedNext = after;
    else {
      this.#usedNext = after - this.size;
      this.#usedMarks ^= MARKS;
    }
    this.#record?.used(chain);
    this.#release(chain);
  }

  #taking(chain: Chain): void {
    if (chain.readableBytes + chain.writableBytes > MOST_CHAIN_BYTES) {
      throw new ProtocolError('packed.driver.desc.bytes', 'a chain of more than 2^32 bytes');
    }
    this.#pool.pop();
    chain.live = true;
    this.#order?.push(chain);
    this.#taken++;
  }

  /** Moves the available position over the descriptors of a chain. */
  #advance(slots: number): void {
    this.#availableNext += slots;
    if (this.#availableNext < this.size) return;
    this.#availableNext -= this.size;
    this.#availableMarks ^= MARKS;
  }

  /**
   * Goes on where another process was when it ended. Of a batch that it did not publish all but the first descriptor may be
   * marked as used: the driver has not seen them, and must not.
   */
  #goOn(taken: readonly TakenPackedChain[]): void {
    this.#again = [...taken].reverse();
    for (const { descriptors } of taken) {
      for (let n = 0; n < descriptors.length; n++) {
        const flags = this.#flags();
        const used = this.#availableMarks === AVAILABLE ? MARKS : 0;
        const at = DESCRIPTOR_BYTES * this.#availableNext + FLAGS;
        if ((flags & MARKS) === used) storeRelease(this.#ring, at, (flags & ~MARKS) | this.#availableMarks);
        this.#advance(1);
      }
    }
  }

  #takeAgain(): Chain {
    const { id, entry, descriptors } = this.#again.at(-1)!;
    const chain = this.#pool[this.#pool.length - 1] ?? this.#spare();
    chain.clear(id);
    chain.position = -1;
    chain.slots = descriptors.length;
    chain.entry = entry;
    for (const { address, length, flags } of descriptors) {
      if ((flags & INDIRECT) !== 0) this.#walkIndirect(chain, flags, descriptors.length, address, length);
      else addSegment(this.#memory, chain, address, length, flags);
    }
    this.#taking(chain);
    this.#again.pop();
    return chain;
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

  /** The flags of the descriptor at the available position; it is available when its marks are as there (§2.8.3.1). */
  #flags(): number {
    const at = DESCRIPTOR_BYTES * this.#availableNext;
    return loadAcquire(this.#ring, at + FLAGS);
  }

  /** Follows a chain from the available position on: consecutive descriptors, the last of which has the buffer id. */
  #walk(chain: Chain, firstFlags: number): void {
    const { view } = this.#ring;
    let index = this.#availableNext;
    let flags = firstFlags;
    let marks = flags & MARKS;
    chain.position = index;
    for (let length = 1; ; length++) {
      const at = DESCRIPTOR_BYTES * index;
      const address = joinU64(view.getUint32(at, true), view.getUint32(at + 4, true));
      const bytes = view.getUint32(at + LENGTH, true);
      if ((flags & INDIRECT) !== 0) this.#walkIndirect(chain, flags, length, address, bytes);
      else addSegment(this.#memory, chain, address, bytes, flags);
      if ((flags & NEXT) === 0) {
        chain.id = view.getUint16(at + ID, true);
        chain.slots = length;
        return;
      }
      if (length >= this.size) {
        throw new ProtocolError('packed.driver.sg.2', `a chain has more than ${this.size} descriptors`);
      }
      if (++index === this.size) {
        index = 0;
        marks ^= MARKS;
      }
      flags = view.getUint16(DESCRIPTOR_BYTES * index + FLAGS, true);
      if ((flags & MARKS) !== marks) {
        throw new ProtocolError('packed.driver.desc.available', `a chain goes on at ${index}, which is not available`);
      }
    }
  }

  /** An indirect table takes the place of a whole chain (§2.8.7); all its entries belong to the buffer. */
  #walkIndirect(chain: Chain, flags: number, length: number, address: number, bytes: number): void {
    if (!this.#features.indirect) {
      throw new ProtocolError(
        'packed.driver.indirect.1',
        'an indirect descriptor, but INDIRECT_DESC was not negotiated',
      );
    }
    if (length > 1 || (flags & NEXT) !== 0) {
      throw new ProtocolError('packed.driver.indirect.4', 'an indirect descriptor in a chain of several');
    }
    const count = bytes / DESCRIPTOR_BYTES;
    if (count === 0 || !Number.isInteger(count)) {
      throw new ProtocolError('packed.driver.indirect.length', `an indirect table of ${bytes} bytes`);
    }
    if (count > (this.#features.longestTable ?? this.size)) {
      throw new ProtocolError(
        'packed.driver.indirect.3',
        `an indirect table of ${count} descriptors in a queue of ${this.size}`,
      );
    }
    const region = this.#memory.locate(address, bytes, 'packed.driver.desc.memory', 'an indirect table');
    for (let n = 0; n < count; n++) {
      const at = address - region.address + DESCRIPTOR_BYTES * n;
      const { view } = region;
      // §2.8.7: all flags but WRITE are reserved here and ignored, as is the buffer id.
      const inner = view.getUint16(at + FLAGS, true);
      const start = joinU64(view.getUint32(at, true), view.getUint32(at + 4, true));
      addSegment(this.#memory, chain, start, view.getUint32(at + LENGTH, true), inner);
    }
  }

  #locate(): void {
    const { descriptorArea, driverArea, deviceArea } = this.#layout;
    const rule = 'packed.driver.layout.memory';
    this.#ring = this.#memory.area(descriptorArea, DESCRIPTOR_BYTES * this.size, rule, 'the descriptor ring');
    this.#driverArea = this.#memory.area(driverArea, EventSuppression.SIZE, rule, 'the driver event suppression');
    this.#deviceArea = this.#memory.area(deviceArea, EventSuppression.SIZE, rule, 'the device event suppression');
    this.#generation = this.#memory.generation;
  }
}
