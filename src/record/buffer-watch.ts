import type { GuestMemory } from '../memory/guest-memory.ts';
import {
  type ChainDescriptor,
  chainIn,
  indirectOf,
  isWritable,
  type RingFormat,
  segmentsOf,
} from '../monitor/chains.ts';
import type { QueuePlace, RingBytes } from '../monitor/ring-memory.ts';
import { type RingReader, ringReader } from '../monitor/rings.ts';
import type { BufferAvailable, BufferContents } from '../monitor/trace.ts';

/** How much of a buffer is kept: its request with a few segments of it, or a report of one zone; its status and what is before it. */
const HEAD_BYTES = 128;
const TAIL_BYTES = 16;
/** 256 descriptors. */
const TABLE_BYTES = 4096;

export interface Seen {
  readonly contents: readonly BufferContents[];
  /** How many buffers the device has used, of those that it had before the driver made others available. */
  readonly usedBefore: number;
}

/** Finds what is in the buffers of a queue when they come and when they go. */
export class BufferWatch {
  memory: GuestMemory;
  readonly #place: QueuePlace;
  readonly #format: RingFormat;
  readonly #reader: RingReader;
  /** The device-writable part of buffers that are out. */
  readonly #out = new Map<number, readonly ChainDescriptor[]>();

  constructor(memory: GuestMemory, place: QueuePlace, format: RingFormat) {
    this.memory = memory;
    this.#place = place;
    this.#format = format;
    this.#reader = ringReader(place, format);
  }

  /**
   * What is in the buffers that have come and gone, by the memory of the rings. The driver may have its buffers back, and fill
   * them again, before anybody looks: what may not be any more what it was is left out.
   */
  look(rings: RingBytes): Seen {
    const events = this.#reader.look(rings);
    const used = events.filter((event) => event.kind === 'buffer.used');
    const available = events.filter((event) => event.kind === 'buffer.available');
    const firstUnknown = used.findIndex(({ id }, n) => !this.#out.has(id) || used.slice(0, n).some((u) => u.id === id));
    const usedBefore = firstUnknown < 0 ? used.length : firstUnknown;
    const answers = available.length > 0 ? [] : used.map(({ id }) => this.#answer(id));
    for (const { id } of used) this.#out.delete(id);
    const late = new Set(used.slice(usedBefore).map(({ id }) => id));
    const requests = available.map((event) => this.#request(rings, event, !late.has(event.id)));
    for (const id of late) this.#out.delete(id);
    return { contents: [...answers, ...requests], usedBefore: available.length > 0 ? usedBefore : 0 };
  }

  /** Whether an address is in the device-writable part of a buffer that is out. */
  mayWrite(address: number): boolean {
    for (const segments of this.#out.values()) {
      if (segments.some((segment) => address >= segment.address && address < segment.address + segment.length))
        return true;
    }
    return false;
  }

  #answer(id: number): BufferContents {
    const segments = this.#out.get(id) ?? [];
    const [head, tail] = [this.#first(segments), this.#last(segments)];
    return { kind: 'buffer.contents', by: 'device', queue: this.#place.queue, id, head, tail };
  }

  #request(rings: RingBytes, { id, at }: BufferAvailable, isCertain: boolean): BufferContents {
    const chain = chainIn(rings, this.#place, at ?? id, this.#format);
    const indirect = indirectOf(chain);
    const table =
      indirect === undefined ? undefined : hex(this.#read(indirect.address, Math.min(indirect.length, TABLE_BYTES)));
    const segments = segmentsOf(chain, this.#place.size, this.#format, table) ?? [];
    this.#out.set(id, segments.filter(isWritable));
    const contents = { kind: 'buffer.contents', by: 'driver', queue: this.#place.queue, id } as const;
    if (!isCertain) return contents;
    return { ...contents, table, head: this.#first(segments.filter((segment) => !isWritable(segment))) };
  }

  #first(segments: readonly ChainDescriptor[]): string {
    const bytes: number[] = [];
    for (const { address, length } of segments) {
      const wanted = Math.min(length, HEAD_BYTES - bytes.length);
      const found = this.#read(address, wanted);
      bytes.push(...found);
      if (found.length < wanted || bytes.length === HEAD_BYTES) break;
    }
    return hex(bytes);
  }

  #last(segments: readonly ChainDescriptor[]): string {
    const bytes: number[] = [];
    for (const { address, length } of segments.toReversed()) {
      const wanted = Math.min(length, TAIL_BYTES - bytes.length);
      const found = this.#read(address + length - wanted, wanted);
      bytes.unshift(...found);
      if (found.length < wanted || bytes.length === TAIL_BYTES) break;
    }
    return hex(bytes);
  }

  /** Nothing where there is no memory, which is for the device to say. */
  #read(address: number, length: number): readonly number[] {
    const region = this.memory.find(address, length);
    if (region === undefined) return [];
    return Array.from({ length }, (_, at) => region.bytes[address - region.address + at]!);
  }
}

/** Bytes as they are in traces. */
export function hex(bytes: Iterable<number>): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
