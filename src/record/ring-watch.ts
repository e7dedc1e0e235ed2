import type { GuestMemory } from '../memory/guest-memory.ts';
import type { RingBytes } from '../monitor/ring-memory.ts';
import type { Role } from '../monitor/trace.ts';
import type { QueueLayout } from '../queue/device-queue.ts';
import { EventSuppression, PackedDescriptor, PackedFlag } from '../spec/packed-ring.ts';
import { splitAreas, Used } from '../spec/split-ring.ts';
import { BufferWatch, hex } from './buffer-watch.ts';
import type { Recorder } from './recorder.ts';

/** A queue that is in use. */
export interface WatchedQueue {
  readonly index: number;
  readonly layout: QueueLayout;
}

/** Says which queues there are. */
export interface QueueSource {
  queues(): readonly WatchedQueue[];
  isPacked(): boolean;
}

type AreaName = 'descriptor' | 'driver' | 'device';

interface Area {
  readonly name: AreaName;
  readonly address: number;
  readonly length: number;
  /** As it was when it was looked at last. */
  readonly seen: Uint8Array;
}

interface Watched {
  readonly key: string;
  readonly isPacked: boolean;
  readonly areas: readonly Area[];
  readonly buffers: BufferWatch;
}

/** The areas of a queue as they were at one moment. */
class Snapshot implements RingBytes {
  readonly areas = new Map<Area, Uint8Array>();

  u16(address: number): number {
    return this.#u8(address) + this.#u8(address + 1) * 0x100;
  }

  u32(address: number): number {
    return this.u16(address) + this.u16(address + 2) * 0x1_0000;
  }

  #u8(address: number): number {
    for (const [area, bytes] of this.areas) {
      const byte = bytes[address - area.address];
      if (byte !== undefined) return byte;
    }
    return 0;
  }
}

/**
 * Sees what was written to the memory of queues by comparing it with what was there before. It is told when to look: before and
 * after each access of the driver, and at each notification, so that changes are found in the order in which they were made.
 */
export class RingWatch {
  readonly #recorder: Recorder;
  #memory: GuestMemory;
  #source: QueueSource;
  readonly #watched = new Map<number, Watched>();

  constructor(recorder: Recorder, memory: GuestMemory, source: QueueSource) {
    this.#recorder = recorder;
    this.#memory = memory;
    this.#source = source;
  }

  /** The same queues go on elsewhere, in memory that is a copy. What differs there is taken for written. */
  goOnIn(memory: GuestMemory, source: QueueSource): void {
    this.look();
    this.#memory = memory;
    this.#source = source;
    for (const { buffers } of this.#watched.values()) buffers.memory = memory;
  }

  /** The device has read memory: of a queue, if of any that is watched. */
  deviceReads(address: number, length: number): void {
    for (const [queue, { areas, buffers }] of this.#watched) {
      const isIn = areas.some((area) => address >= area.address && address < area.address + area.length);
      // Of descriptors as a rule only the flags are read.
      if (isIn) this.#recorder.deviceReads(queue, address, length, PackedDescriptor.SIZE);
      else if (buffers.mayWrite(address)) this.#recorder.deviceReads(queue, address, length);
    }
  }

  look(): void {
    this.#recorder.tellReads();
    const queues = this.#source.queues();
    for (const index of this.#watched.keys()) {
      if (!queues.some((queue) => queue.index === index)) this.#watched.delete(index);
    }
    for (const queue of queues) this.#lookAt(queue);
  }

  #lookAt({ index, layout }: WatchedQueue): void {
    const { size, descriptorArea, driverArea, deviceArea } = layout;
    const key = [size, descriptorArea, driverArea, deviceArea].join();
    let watched = this.#watched.get(index);
    if (watched?.key !== key) {
      const isPacked = this.#source.isPacked();
      const place = { queue: index, size, descriptor: descriptorArea, driver: driverArea, device: deviceArea };
      const buffers = new BufferWatch(this.#memory, place, isPacked ? 'packed' : 'split');
      watched = { key, isPacked, areas: areasOf(layout, isPacked), buffers };
      this.#watched.set(index, watched);
    }
    const snapshot = this.#take(watched.areas);
    const { contents, usedBefore } = watched.buffers.look(snapshot);
    if (usedBefore > 0 && !watched.isPacked) this.#compareUsed(index, snapshot, usedBefore);
    for (const one of contents) this.#recorder.write(one);
    for (const [area, now] of snapshot.areas) {
      if (area.name === 'descriptor' && watched.isPacked) this.#compareDescriptors(index, area, now);
      else this.#compare(index, area, now, area.name === 'device' ? 'device' : 'driver');
    }
  }

  /** What an index shows was written before it, and is looked at after it: the descriptors last, and first to be told of. */
  #take(areas: readonly Area[]): Snapshot {
    const bytes = areas
      .toReversed()
      .map((area) => this.#read(area))
      .reverse();
    const snapshot = new Snapshot();
    areas.forEach((area, n) => {
      if (bytes[n] !== undefined) snapshot.areas.set(area, bytes[n]);
    });
    return snapshot;
  }

  #read({ address, length }: Area): Uint8Array | undefined {
    const region = this.#memory.find(address, length);
    return region?.bytes.slice(address - region.address, address - region.address + length);
  }

  /** All that has changed in an area is one write: parts of it make no sense by themselves. */
  #compare(queue: number, { address, seen }: Area, now: Uint8Array, by: Role): void {
    const first = now.findIndex((byte, at) => byte !== seen[at]);
    if (first < 0) return;
    const last = now.findLastIndex((byte, at) => byte !== seen[at]);
    this.#write(queue, by, address + first, now.subarray(first, last + 1));
    seen.set(now);
  }

  /** The first entries of a used ring, and as yet no more of it: what the driver offers again it had back by them. */
  #compareUsed(queue: number, { areas }: Snapshot, count: number): void {
    for (const [area, now] of areas) {
      if (area.name !== 'device') continue;
      const partly = now.slice();
      const index = (area.seen[Used.INDEX]! + area.seen[Used.INDEX + 1]! * 0x100 + count) & 0xffff;
      partly[Used.INDEX] = index & 0xff;
      partly[Used.INDEX + 1] = index >>> 8;
      this.#compare(queue, area, partly, 'device');
    }
  }

  /**
   * Both ends write the descriptors of a packed ring; the flags say whose turn it was. Where they are the old ones, whoever's
   * turn it is has not come to them yet. What was used comes first.
   */
  #compareDescriptors(queue: number, area: Area, now: Uint8Array): void {
    const { SIZE } = PackedDescriptor;
    const changed: Record<Role, number[]> = { device: [], driver: [] };
    for (let at = 0; at < now.length; at += SIZE) {
      if (now.subarray(at, at + SIZE).every((byte, n) => byte === area.seen[at + n])) continue;
      const flags = now[at + PackedDescriptor.FLAGS]! + now[at + PackedDescriptor.FLAGS + 1]! * 0x100;
      const isUsed = ((flags & PackedFlag.AVAILABLE) !== 0) === ((flags & PackedFlag.USED) !== 0);
      const isHalfWritten = [0, 1].every((n) => {
        const byte = at + PackedDescriptor.FLAGS + n;
        return now[byte] === area.seen[byte];
      });
      changed[isUsed === isHalfWritten ? 'driver' : 'device'].push(at);
    }
    for (const by of ['device', 'driver'] as const) {
      const [first] = changed[by];
      if (first !== undefined)
        this.#write(queue, by, area.address + first, now.subarray(first, changed[by].at(-1)! + SIZE));
    }
    area.seen.set(now);
  }

  #write(queue: number, by: Role, address: number, written: Uint8Array): void {
    const { length } = written;
    this.#recorder.write({ kind: 'memory', by, access: 'write', queue, address, length, bytes: hex(written) });
  }
}

function areasOf({ size, descriptorArea, driverArea, deviceArea }: QueueLayout, isPacked: boolean): readonly Area[] {
  const { SIZE } = EventSuppression;
  const lengths = isPacked
    ? { descriptor: PackedDescriptor.SIZE * size, driver: SIZE, device: SIZE }
    : splitAreas(size);
  const addresses = { descriptor: descriptorArea, driver: driverArea, device: deviceArea };
  // What is not zero when it is looked at first is shown, too.
  return (['descriptor', 'driver', 'device'] as const).map((name) => {
    return { name, address: addresses[name], length: lengths[name], seen: new Uint8Array(lengths[name]) };
  });
}
