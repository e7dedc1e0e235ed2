import { Feature } from '../spec/features.ts';
import { EventSuppression, PackedDescriptor, PackedFlag } from '../spec/packed-ring.ts';
import { Available, Descriptor, DescriptorFlag, splitAreas, Used } from '../spec/split-ring.ts';
import { placeOf, type QueuePlace, type RingMemory } from './ring-memory.ts';
import type { Session } from './session.ts';
import type { MemoryAccess, QueueEnable, TraceEvent } from './trace.ts';

/** What a queue's memory says about buffers. */
interface RingReader {
  /** The buffers that came and went by a write to the memory. */
  look(memory: RingMemory): readonly TraceEvent[];
}

/** The driver's and the device's index, followed entry by entry (§2.7). */
class SplitReader implements RingReader {
  readonly #place: QueuePlace;
  #available = 0;
  #used = 0;

  constructor(place: QueuePlace) {
    this.#place = place;
  }

  look(memory: RingMemory): readonly TraceEvent[] {
    const { queue, size, driver, device } = this.#place;
    const events: TraceEvent[] = [];
    const available = memory.u16(driver + Available.INDEX);
    // An index that goes back, or too far, is for a rule about it; it says nothing about buffers.
    if (distance(this.#available, available) <= size) {
      for (; this.#available !== available; this.#available = (this.#available + 1) & 0xffff) {
        const id = memory.u16(driver + Available.RING + Available.ENTRY_SIZE * (this.#available % size));
        events.push({ kind: 'buffer.available', queue, id, ...this.#lengths(memory, id) });
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

  /** Bytes that the device may read and write; unknown where an indirect table, which is not in the ring, has them. */
  #lengths(memory: RingMemory, head: number): { readonly readable?: number; readonly writable?: number } {
    const { descriptor, size } = this.#place;
    let readable = 0;
    let writable = 0;
    for (let index = head, n = 0; index < size && n < size; n++) {
      const at = descriptor + Descriptor.SIZE * index;
      const flags = memory.u16(at + Descriptor.FLAGS);
      const length = memory.u32(at + Descriptor.LENGTH);
      if ((flags & DescriptorFlag.INDIRECT) !== 0) return {};
      if ((flags & DescriptorFlag.WRITE) !== 0) writable += length;
      else readable += length;
      if ((flags & DescriptorFlag.NEXT) === 0) return { readable, writable };
      index = memory.u16(at + Descriptor.NEXT);
    }
    return {};
  }
}

/** Descriptors in ring order, each made available and used by its flags and a wrap counter (§2.8). */
class PackedReader implements RingReader {
  readonly #place: QueuePlace;
  #available = 0;
  #availableWrap = 1;
  #used = 0;
  #usedWrap = 1;
  /** How many descriptors each buffer that is out has. */
  readonly #slots = new Map<number, number>();

  constructor(place: QueuePlace) {
    this.#place = place;
  }

  look(memory: RingMemory): readonly TraceEvent[] {
    const events: TraceEvent[] = [];
    for (let event = this.#nextAvailable(memory); event !== undefined; event = this.#nextAvailable(memory)) {
      events.push(event);
    }
    for (let event = this.#nextUsed(memory); event !== undefined; event = this.#nextUsed(memory)) events.push(event);
    return events;
  }

  #nextAvailable(memory: RingMemory): TraceEvent | undefined {
    const { queue, size } = this.#place;
    let slots = 0;
    let readable = 0;
    let writable = 0;
    let isIndirect = false;
    const first = this.#available;
    let at = first;
    let wrap = this.#availableWrap;
    for (let flags: number = PackedFlag.NEXT; (flags & PackedFlag.NEXT) !== 0 && slots < size; slots++) {
      const address = this.#descriptor(at);
      flags = memory.u16(address + PackedDescriptor.FLAGS);
      // The first one says whether the whole list is available.
      if (slots === 0 && !(bit(flags, PackedFlag.AVAILABLE) === wrap && bit(flags, PackedFlag.USED) !== wrap)) {
        return undefined;
      }
      isIndirect ||= (flags & PackedFlag.INDIRECT) !== 0;
      const length = memory.u32(address + PackedDescriptor.LENGTH);
      if ((flags & PackedFlag.WRITE) !== 0) writable += length;
      else readable += length;
      if (++at === size) {
        at = 0;
        wrap ^= 1;
      }
    }
    const last = this.#descriptor((at + size - 1) % size);
    const id = memory.u16(last + PackedDescriptor.ID);
    this.#available = at;
    this.#availableWrap = wrap;
    this.#slots.set(id, slots);
    return { kind: 'buffer.available', queue, id, at: first, ...(isIndirect ? {} : { readable, writable }) };
  }

  #nextUsed(memory: RingMemory): TraceEvent | undefined {
    const { queue, size } = this.#place;
    const address = this.#descriptor(this.#used);
    const flags = memory.u16(address + PackedDescriptor.FLAGS);
    const isUsed =
      bit(flags, PackedFlag.AVAILABLE) === this.#usedWrap && bit(flags, PackedFlag.USED) === this.#usedWrap;
    // Memory that was never written looks used in a round that has not begun.
    if (!isUsed) return undefined;
    const id = memory.u16(address + PackedDescriptor.ID);
    const written = (flags & PackedFlag.WRITE) === 0 ? 0 : memory.u32(address + PackedDescriptor.LENGTH);
    this.#used += this.#slots.get(id) ?? 1;
    this.#slots.delete(id);
    if (this.#used >= size) {
      this.#used -= size;
      this.#usedWrap ^= 1;
    }
    return { kind: 'buffer.used', queue, id, written };
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
    const isPacked = this.#session.has(Feature.RING_PACKED);
    const areas = isPacked ? packedAreas(place.size) : splitAreas(place.size);
    for (const area of ['descriptor', 'driver', 'device'] as const)
      this.#session.memory.forget(place[area], areas[area]);
    this.#readers.set(event.queue, isPacked ? new PackedReader(place) : new SplitReader(place));
  }

  reset(queue: number): void {
    this.#readers.delete(queue);
    this.#session.places.delete(queue);
  }

  resetAll(): void {
    this.#readers.clear();
    this.#session.places.clear();
  }

  /** What a write says about buffers. */
  decode(event: MemoryAccess): readonly TraceEvent[] {
    if (event.access !== 'write' || event.bytes === undefined) return [];
    this.#session.memory.write(event.address, event.bytes);
    return this.#readers.get(event.queue)?.look(this.#session.memory) ?? [];
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
