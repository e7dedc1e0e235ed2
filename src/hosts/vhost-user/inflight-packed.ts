import { joinU64, type MemoryRegion } from '../../memory/guest-memory.ts';
import type { Chain } from '../../queue/chain.ts';
import type { QueueState, TakenPackedChain } from '../../queue/device-queue.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { PackedDescriptor } from '../../spec/packed-ring.ts';
import type { InflightQueue, RingInMemory } from './inflight-queue.ts';

/**
 * Of a queue: features u64, version u16, entries u16, first free entry u16 and as it was at the last batch, used position u16
 * and as it was, its wrap counter u8 and as it was; then the entries.
 */
const Header = {
  VERSION: 8,
  ENTRIES: 10,
  FREE: 12,
  OLD_FREE: 14,
  USED: 16,
  OLD_USED: 18,
  WRAP: 20,
  OLD_WRAP: 21,
} as const;
/** Of a descriptor that was taken, as the ring had it; the first one of a chain says how many there are, and which is the last. */
const Entry = {
  IN_FLIGHT: 0,
  NEXT: 2,
  LAST: 4,
  COUNT: 6,
  COUNTER: 8,
  ID: 16,
  FLAGS: 18,
  LENGTH: 20,
  ADDRESS: 24,
} as const;
const HEADER_BYTES = 32;
const ENTRY_BYTES = 32;
const VERSION = 1;

/**
 * What a packed queue has taken and not used. Used descriptors overwrite others in the ring, so each is kept as it was. Entries
 * are a list of free ones, from which a chain takes its own, and to which it gives them back.
 */
export class PackedInflight implements InflightQueue {
  readonly #view: DataView;
  readonly #size: number;
  #counter = 0;
  /** First entries of chains that were used, which the driver does not see yet, with their descriptors' count. */
  readonly #batch: { readonly entry: number; readonly slots: number }[] = [];

  /** `view` is this queue's part of the memory. */
  constructor(view: DataView, size: number) {
    this.#view = view;
    this.#size = size;
  }

  resume(base: QueueState, ring: RingInMemory): QueueState {
    const view = this.#view;
    if (base.format !== 'packed') return base;
    if (view.getUint16(Header.VERSION, true) !== VERSION) {
      this.#initialize(base.usedNext, base.usedWrap);
      return base;
    }
    if (ring.isUsed(this.#position(Header.OLD_USED), view.getUint8(Header.OLD_WRAP) & 1)) this.#endBatch();
    else this.#rollBack();
    this.#forgetHalf();
    const taken = this.#inFlight();
    const usedNext = this.#position(Header.USED);
    const usedWrap = view.getUint8(Header.WRAP) & 1;
    const end = usedNext + taken.reduce((sum, { descriptors }) => sum + descriptors.length, 0);
    const wrapped = end >= this.#size;
    const availableNext = wrapped ? end - this.#size : end;
    return {
      format: 'packed',
      usedNext,
      usedWrap,
      availableNext,
      availableWrap: wrapped ? usedWrap ^ 1 : usedWrap,
      taken,
    };
  }

  taken(chain: Chain, ring: MemoryRegion): void {
    const view = this.#view;
    const first = view.getUint16(Header.OLD_FREE, true);
    const head = entryAt(first);
    let free = first;
    let last = first;
    for (let n = 0; n < chain.slots; n++) {
      const position = chain.position + n;
      const from = PackedDescriptor.SIZE * (position < this.#size ? position : position - this.#size);
      const at = entryAt(free);
      view.setUint32(at + Entry.ADDRESS, ring.view.getUint32(from, true), true);
      view.setUint32(at + Entry.ADDRESS + 4, ring.view.getUint32(from + 4, true), true);
      view.setUint32(at + Entry.LENGTH, ring.view.getUint32(from + PackedDescriptor.LENGTH, true), true);
      view.setUint16(at + Entry.ID, chain.id, true);
      view.setUint16(at + Entry.FLAGS, ring.view.getUint16(from + PackedDescriptor.FLAGS, true), true);
      last = free;
      free = view.getUint16(at + Entry.NEXT, true);
    }
    view.setUint16(head + Entry.LAST, last, true);
    view.setUint16(head + Entry.COUNT, chain.slots, true);
    const counter = this.#counter++;
    view.setUint32(head + Entry.COUNTER, counter, true);
    view.setUint32(head + Entry.COUNTER + 4, Math.floor(counter / 2 ** 32), true);
    view.setUint8(head + Entry.IN_FLIGHT, 1);
    view.setUint16(Header.FREE, free, true);
    view.setUint16(Header.OLD_FREE, free, true);
    chain.entry = first;
  }

  /** The last chain that was taken: its entries are the first free ones again. */
  givenBack({ entry }: Chain): void {
    this.#view.setUint8(entryAt(entry) + Entry.IN_FLIGHT, 0);
    this.#view.setUint16(Header.FREE, entry, true);
    this.#view.setUint16(Header.OLD_FREE, entry, true);
  }

  used({ entry, slots }: Chain): void {
    this.#batch.push({ entry, slots });
  }

  /** Moves position and free list on; as they were is kept until the driver has seen the batch. */
  publishing(): void {
    const view = this.#view;
    let used = view.getUint16(Header.USED, true);
    let wrap = view.getUint8(Header.WRAP);
    for (const { entry, slots } of this.#batch) {
      view.setUint16(entryAt(this.#last(entry)) + Entry.NEXT, view.getUint16(Header.FREE, true), true);
      view.setUint16(Header.FREE, entry, true);
      used += slots;
      if (used < this.#size) continue;
      used -= this.#size;
      wrap ^= 1;
    }
    view.setUint16(Header.USED, used, true);
    view.setUint8(Header.WRAP, wrap);
  }

  published(): void {
    for (const { entry } of this.#batch) this.#view.setUint8(entryAt(entry) + Entry.IN_FLIGHT, 0);
    this.#batch.length = 0;
    this.#commit();
  }

  #initialize(used: number, wrap: number): void {
    const view = this.#view;
    for (let n = 0; n < this.#size; n++) {
      view.setUint8(entryAt(n) + Entry.IN_FLIGHT, 0);
      view.setUint16(entryAt(n) + Entry.NEXT, n + 1, true);
    }
    view.setUint16(Header.FREE, 0, true);
    view.setUint16(Header.USED, used, true);
    view.setUint8(Header.WRAP, wrap);
    this.#commit();
    view.setUint16(Header.ENTRIES, this.#size, true);
    view.setUint16(Header.VERSION, VERSION, true);
  }

  #commit(): void {
    const view = this.#view;
    view.setUint16(Header.OLD_FREE, view.getUint16(Header.FREE, true), true);
    view.setUint16(Header.OLD_USED, view.getUint16(Header.USED, true), true);
    view.setUint8(Header.OLD_WRAP, view.getUint8(Header.WRAP));
  }

  /** The process before ended after it had shown a batch: its chains lead the list of free entries. */
  #endBatch(): void {
    const view = this.#view;
    const old = view.getUint16(Header.OLD_FREE, true);
    let entry = view.getUint16(Header.FREE, true);
    for (let n = 0; n < this.#size && entry !== old; n++) {
      view.setUint8(entryAt(this.#checked(entry)) + Entry.IN_FLIGHT, 0);
      entry = view.getUint16(entryAt(this.#last(entry)) + Entry.NEXT, true);
    }
    this.#commit();
  }

  /** It ended before it had shown what it had used last: all of that is done again. */
  #rollBack(): void {
    const view = this.#view;
    view.setUint16(Header.FREE, view.getUint16(Header.OLD_FREE, true), true);
    view.setUint16(Header.USED, view.getUint16(Header.OLD_USED, true), true);
    view.setUint8(Header.WRAP, view.getUint8(Header.OLD_WRAP));
  }

  /** It ended while it was writing down a chain, whose entries still are free ones: that one is taken from the ring again. */
  #forgetHalf(): void {
    const free = this.#view.getUint16(Header.FREE, true);
    if (free < this.#size) this.#view.setUint8(entryAt(free) + Entry.IN_FLIGHT, 0);
  }

  /** Chains in the order in which they were taken. */
  #inFlight(): TakenPackedChain[] {
    const chains: { readonly counter: number; readonly chain: TakenPackedChain }[] = [];
    for (let entry = 0; entry < this.#size; entry++) {
      const at = entryAt(entry);
      if (this.#view.getUint8(at + Entry.IN_FLIGHT) === 0) continue;
      const low = this.#view.getUint32(at + Entry.COUNTER, true);
      chains.push({
        counter: this.#view.getUint32(at + Entry.COUNTER + 4, true) * 2 ** 32 + low,
        chain: this.#chain(entry),
      });
    }
    chains.sort((one, other) => one.counter - other.counter);
    this.#counter = (chains.at(-1)?.counter ?? -1) + 1;
    return chains.map(({ chain }) => chain);
  }

  #chain(entry: number): TakenPackedChain {
    const view = this.#view;
    const count = view.getUint16(entryAt(entry) + Entry.COUNT, true);
    if (count < 1 || count > this.#size) this.#fail(`a chain of ${count}`);
    const descriptors: TakenPackedChain['descriptors'][number][] = [];
    let next = entry;
    for (let n = 0; n < count; n++) {
      const at = entryAt(this.#checked(next));
      descriptors.push({
        address: joinU64(view.getUint32(at + Entry.ADDRESS, true), view.getUint32(at + Entry.ADDRESS + 4, true)),
        length: view.getUint32(at + Entry.LENGTH, true),
        flags: view.getUint16(at + Entry.FLAGS, true),
      });
      next = view.getUint16(at + Entry.NEXT, true);
    }
    return { id: view.getUint16(entryAt(entry) + Entry.ID, true), entry, descriptors };
  }

  #last(entry: number): number {
    return this.#checked(this.#view.getUint16(entryAt(entry) + Entry.LAST, true));
  }

  #position(field: number): number {
    return this.#checked(this.#view.getUint16(field, true));
  }

  #checked(entry: number): number {
    if (entry < this.#size) return entry;
    return this.#fail(`entry ${entry}`);
  }

  #fail(what: string): never {
    throw new ProtocolError(
      'vhost.frontend.inflight.entry',
      `what was in flight has ${what} in a ring of ${this.#size}`,
    );
  }
}

function entryAt(entry: number): number {
  return HEADER_BYTES + ENTRY_BYTES * entry;
}
