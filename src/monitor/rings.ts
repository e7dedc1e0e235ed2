import { Feature } from '../spec/features.ts';
import { EventSuppression, PackedDescriptor, PackedFlag } from '../spec/packed-ring.ts';
import { Available, splitAreas, Used } from '../spec/split-ring.ts';
import { chainIn, lengthsOf, type RingFormat, segmentsOf } from './chains.ts';
import { placeOf, type QueuePlace, type RingBytes } from './ring-memory.ts';
import type { Session } from './session.ts';
import type { BufferAvailable, BufferUsed, MemoryAccess, QueueEnable, TraceEvent } from './trace.ts';

/** The indirect table that was made known of a buffer. */
type Tables = (id: number) => string | undefined;

/** What a queue's memory says about buffers. */
export interface RingReader {
  /** Where the device will use a buffer next, as in `QueuePositions`. */
  readonly used: number;
  /** The buffers that came and went by a write to the memory. */
  look(memory: RingBytes, tables?: Tables): readonly (BufferAvailable | BufferUsed)[];
}

/** A reader of a queue that begins where queues begin. */
export function ringReader(place: QueuePlace, format: RingFormat): RingReader {
  return format === 'packed' ? new PackedReader(place) : new SplitReader(place);
}

/** The driver's and the device's index, followed entry by entry (§2.7). */
class SplitReader implements RingReader {
  readonly #place: QueuePlace;
  #available = 0;
  #used = 0;

  constructor(place: QueuePlace) {
    this.#place = place;
  }

  get used(): number {
    return this.#used;
  }

  look(memory: RingBytes, tables: Tables = () => undefined): readonly (BufferAvailable | BufferUsed)[] {
    const { queue, size, driver, device } = this.#place;
    const events: (BufferAvailable | BufferUsed)[] = [];
    const available = memory.u16(driver + Available.INDEX);
    // An index that goes back, or too far, is for a rule about it; it says nothing about buffers.
    if (distance(this.#available, available) <= size) {
      for (; this.#available !== available; this.#available = (this.#available + 1) & 0xffff) {
        const id = memory.u16(driver + Available.RING + Available.ENTRY_SIZE * (this.#available % size));
        const segments = segmentsOf(chainIn(memory, this.#place, id, 'split'), size, 'split', tables(id));
        events.push({ kind: 'buffer.available', queue, id, ...lengthsOf(segments) });
      }
    }
    const used = memory.u16(device + Used.INDEX);
    if (distance(this.#used, used) <= size) {
      for (; this.#used !== used; this.#used = (this.#used + 1) & 0xffff) {
        const entry = device + Used.RING + Used.ENTRY_SIZE * (this.#used % size);
        events.push({ kind: 'buffer.used', queue, id: memory.u16(entry), written: memory.u32(entry + 4) });
      }
    }
    return events;
  }
}

/** Descriptors in ring order, each made available and used by its flags and a wrap counter (§2.8). */
class PackedReader implements RingReader {
  readonly #place: QueuePlace;
  #available = 0;
  #availableWrap = 1;
  #used = 0;
  #usedWrap = 1;
  /** How many descriptors each buffer that is out has, and how many bytes can be written to it. */
  readonly #out = new Map<number, { readonly slots: number; readonly writable: number }>();

  constructor(place: QueuePlace) {
    this.#place = place;
  }

  get used(): number {
    return this.#used + this.#usedWrap * 0x8000;
  }

  look(memory: RingBytes, tables: Tables = () => undefined): readonly (BufferAvailable | BufferUsed)[] {
    const events: (BufferAvailable | BufferUsed)[] = [];
    for (let event = this.#nextAvailable(memory, tables); event !== undefined; ) {
      events.push(event);
      event = this.#nextAvailable(memory, tables);
    }
    for (let event = this.#nextUsed(memory); event !== undefined; event = this.#nextUsed(memory)) events.push(event);
    return events;
  }

  #nextAvailable(memory: RingBytes, tables: Tables): BufferAvailable | undefined {
    const { queue, size } = this.#place;
    const at = this.#available;
    const first = memory.u16(this.#descriptor(at) + PackedDescriptor.FLAGS);
    // The first one says whether the whole list is available.
    const wrap = this.#availableWrap;
    if (bit(first, PackedFlag.AVAILABLE) !== wrap || bit(first, PackedFlag.USED) === wrap) return undefined;
    const chain = chainIn(memory, this.#place, at, 'packed');
    const slots = Math.min(chain.length, size);
    const id = memory.u16(this.#descriptor((at + slots - 1) % size) + PackedDescriptor.ID);
    this.#available = (at + slots) % size;
    if (at + slots >= size) this.#availableWrap ^= 1;
    const lengths = lengthsOf(segmentsOf(chain, size, 'packed', tables(id)));
    this.#out.set(id, { slots, writable: lengths.writable ?? 0 });
    return { kind: 'buffer.available', queue, id, at, ...lengths };
  }

  #nextUsed(memory: RingBytes): BufferUsed | undefined {
    const { queue, size } = this.#place;
    const address = this.#descriptor(this.#used);
    const flags = memory.u16(address + PackedDescriptor.FLAGS);
    const isUsed =
      bit(flags, PackedFlag.AVAILABLE) === this.#usedWrap && bit(flags, PackedFlag.USED) === this.#usedWrap;
    // Memory that was never written looks used in a round that has not begun.
    if (!isUsed) return undefined;
    const id = memory.u16(address + PackedDescriptor.ID);
    const { slots, writable } = this.#out.get(id) ?? { slots: 1, writable: 0 };
    const flagged = (flags & PackedFlag.WRITE) !== 0;
    const length = memory.u32(address + PackedDescriptor.LENGTH);
    // Without the flag the length means nothing; one that fits is taken for meant, and a rule says that the flag is missing.
    const written = flagged || length <= writable ? length : 0;
    this.#used += slots;
    this.#out.delete(id);
    if (this.#used >= size) {
      this.#used -= size;
      this.#usedWrap ^= 1;
    }
    return { kind: 'buffer.used', queue, id, written, flagged };
  }

  #descriptor(index: number): number {
    return this.#place.descriptor + PackedDescriptor.SIZE * index;
  }
}

/** Follows the queues of a trace through the writes to their memory, with readers of its own. */
export class RingDecoder {
  readonly #session: Session;
  readonly #readers = new Map<number, RingReader>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The queue is where these registers say, if they say all. What is there by now the trace says after this. */
  enable(event: QueueEnable): void {
    const place = placeOf(event);
    if (place === undefined) {
      this.reset(event.queue);
      return;
    }
    this.#session.places.set(event.queue, place);
    const format = this.#session.has(Feature.RING_PACKED) ? 'packed' : 'split';
    const areas = format === 'packed' ? packedAreas(place.size) : splitAreas(place.size);
    for (const area of ['descriptor', 'driver', 'device'] as const)
      this.#session.memory.forget(place[area], areas[area]);
    const reader = ringReader(place, format);
    this.#readers.set(event.queue, reader);
    this.#session.used.set(event.queue, reader.used);
  }

  reset(queue: number): void {
    this.#readers.delete(queue);
    this.#session.places.delete(queue);
    this.#session.used.delete(queue);
  }

  resetAll(): void {
    this.#readers.clear();
    this.#session.places.clear();
    this.#session.used.clear();
  }

  /** What a write says about buffers. */
  decode(event: MemoryAccess): readonly TraceEvent[] {
    if (event.access !== 'write' || event.bytes === undefined) return [];
    const { queue } = event;
    this.#session.memory.write(event.address, event.bytes);
    const tables: Tables = (id) => this.#session.contentsOf({ queue, id }, 'driver')?.table;
    const reader = this.#readers.get(queue);
    if (reader === undefined) return [];
    const events = reader.look(this.#session.memory, tables);
    this.#session.used.set(queue, reader.used);
    return events;
  }
}

function packedAreas(size: number): { descriptor: number; driver: number; device: number } {
  const { SIZE } = EventSuppression;
  return { descriptor: PackedDescriptor.SIZE * size, driver: SIZE, device: SIZE };
}

/** How far an index of 16 bits has gone. */
function distance(from: number, to: number): number {
  return (to - from) & 0xffff;
}

function bit(flags: number, mask: number): number {
  return (flags & mask) === 0 ? 0 : 1;
}
