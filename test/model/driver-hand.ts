import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { EventFlag, EventSuppression, PackedDescriptor, PackedFlag } from '../../src/spec/packed-ring.ts';
import { Available, Descriptor, splitAreas, Used } from '../../src/spec/split-ring.ts';
import { DATA, packedEvent, type RingMemory, SIZE } from './ring-memory.ts';
import type { Wish } from './state.ts';

/** The driver's end of one ring, written and read byte by byte. Each buffer is one device-readable descriptor with its letter. */
export interface DriverHand {
  readonly layout: QueueLayout;
  /** Buffers that were made available since the ring is new. */
  readonly exposed: number;
  /** Those of them that the device has used. */
  readonly usedCount: number;
  /** Used and not collected, in the order of the ring. */
  readonly used: string;
  /** What the device has asked for in the ring. */
  readonly deviceWants: Wish;
  /** Makes buffers available, all in one step. */
  expose(letters: string): void;
  /** Takes back what was used, and asks for a notification of the next one. */
  collect(): string;
}

/** The buffers that are out, by the number that the ring has for them. */
class Ids {
  readonly #inOrder: boolean;
  readonly #letters = new Map<number, string>();

  constructor(inOrder: boolean) {
    this.#inOrder = inOrder;
  }

  /** §2.7.9, §2.8.8: in order, descriptors are used in the order of the ring. */
  add(letter: string, position: number): number {
    const id = this.#inOrder ? position % SIZE : letter.charCodeAt(0) - 'a'.charCodeAt(0);
    if (this.#letters.has(id)) throw new Error(`descriptor ${id} is in use`);
    this.#letters.set(id, letter);
    return id;
  }

  letter(id: number): string {
    const letter = this.#letters.get(id);
    if (letter === undefined) throw new Error(`the device used ${id}, which is not out`);
    return letter;
  }

  delete(id: number): void {
    this.#letters.delete(id);
  }
}

export class SplitDriverHand implements DriverHand {
  readonly layout: QueueLayout;
  exposed = 0;
  readonly #memory: RingMemory;
  readonly #ids: Ids;
  #collected = 0;

  constructor(memory: RingMemory, base: number) {
    const driverArea = base + splitAreas(SIZE).descriptor;
    this.layout = { size: SIZE, descriptorArea: base, driverArea, deviceArea: driverArea + 16 };
    this.#memory = memory;
    this.#ids = new Ids(memory.inOrder);
  }

  get usedCount(): number {
    return this.#memory.view.getUint16(this.layout.deviceArea + Used.INDEX, true);
  }

  get used(): string {
    let letters = '';
    for (let at = this.#collected; at !== this.usedCount; at++) letters += this.#ids.letter(this.#usedId(at));
    return letters;
  }

  get deviceWants(): Wish {
    if (!this.#memory.eventIndex) return 'each';
    const event = this.layout.deviceArea + Used.RING + Used.ENTRY_SIZE * SIZE;
    return this.#memory.view.getUint16(event, true) === this.exposed ? 'next' : 'none';
  }

  expose(letters: string): void {
    const { view } = this.#memory;
    for (const letter of letters) {
      const id = this.#ids.add(letter, this.exposed);
      const at = this.layout.descriptorArea + Descriptor.SIZE * id;
      view.setBigUint64(at, BigInt(DATA[letter]!), true);
      view.setUint32(at + Descriptor.LENGTH, 1, true);
      view.setUint16(
        this.layout.driverArea + Available.RING + Available.ENTRY_SIZE * (this.exposed++ % SIZE),
        id,
        true,
      );
    }
    view.setUint16(this.layout.driverArea + Available.INDEX, this.exposed, true);
  }

  collect(): string {
    const letters = this.used;
    for (; this.#collected !== this.usedCount; this.#collected++) this.#ids.delete(this.#usedId(this.#collected));
    const event = this.layout.driverArea + Available.RING + Available.ENTRY_SIZE * SIZE;
    if (this.#memory.eventIndex) this.#memory.view.setUint16(event, this.#collected, true);
    return letters;
  }

  #usedId(at: number): number {
    return this.#memory.view.getUint32(this.layout.deviceArea + Used.RING + Used.ENTRY_SIZE * (at % SIZE), true);
  }
}

export class PackedDriverHand implements DriverHand {
  readonly layout: QueueLayout;
  exposed = 0;
  readonly #memory: RingMemory;
  readonly #ids: Ids;
  #collected = 0;

  constructor(memory: RingMemory, base: number) {
    const driverArea = base + PackedDescriptor.SIZE * SIZE;
    this.layout = { size: SIZE, descriptorArea: base, driverArea, deviceArea: driverArea + EventSuppression.SIZE };
    this.#memory = memory;
    this.#ids = new Ids(memory.inOrder);
  }

  get usedCount(): number {
    let count = this.#collected;
    while (count < this.exposed && this.#isUsed(count)) count++;
    return count;
  }

  get used(): string {
    let letters = '';
    const end = this.usedCount;
    for (let at = this.#collected; at < end; at++) letters += this.#ids.letter(this.#usedId(at));
    return letters;
  }

  get deviceWants(): Wish {
    const { view } = this.#memory;
    const flags = view.getUint16(this.layout.deviceArea + EventSuppression.FLAGS, true);
    if (flags !== EventFlag.DESCRIPTOR) return flags === EventFlag.ENABLE ? 'each' : 'none';
    const event = view.getUint16(this.layout.deviceArea + EventSuppression.POSITION, true);
    return event === packedEvent(this.exposed) ? 'next' : 'none';
  }

  expose(letters: string): void {
    const { view } = this.#memory;
    const first = this.exposed;
    for (const [n, letter] of [...letters].entries()) {
      const at = this.#at(first + n);
      view.setBigUint64(at, BigInt(DATA[letter]!), true);
      view.setUint32(at + PackedDescriptor.LENGTH, 1, true);
      view.setUint16(at + PackedDescriptor.ID, this.#ids.add(letter, first + n), true);
    }
    // The first one last: the device sees all or none.
    for (let n = letters.length - 1; n >= 0; n--) {
      const wrap = packedEvent(first + n) >>> 15;
      const flags = wrap === 1 ? PackedFlag.AVAILABLE : PackedFlag.USED;
      view.setUint16(this.#at(first + n) + PackedDescriptor.FLAGS, flags, true);
    }
    this.exposed += letters.length;
  }

  collect(): string {
    const letters = this.used;
    for (const end = this.usedCount; this.#collected < end; this.#collected++)
      this.#ids.delete(this.#usedId(this.#collected));
    const { view } = this.#memory;
    if (!this.#memory.eventIndex) return letters;
    view.setUint16(this.layout.driverArea + EventSuppression.POSITION, packedEvent(this.#collected), true);
    view.setUint16(this.layout.driverArea + EventSuppression.FLAGS, EventFlag.DESCRIPTOR, true);
    return letters;
  }

  #isUsed(at: number): boolean {
    const marks = PackedFlag.AVAILABLE | PackedFlag.USED;
    const flags = this.#memory.view.getUint16(this.#at(at) + PackedDescriptor.FLAGS, true) & marks;
    return flags === (packedEvent(at) >>> 15 === 1 ? marks : 0);
  }

  #usedId(at: number): number {
    return this.#memory.view.getUint16(this.#at(at) + PackedDescriptor.ID, true);
  }

  #at(position: number): number {
    return this.layout.descriptorArea + PackedDescriptor.SIZE * (position % SIZE);
  }
}
