import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { EventFlag, EventSuppression, PackedDescriptor, PackedFlag } from '../../src/spec/packed-ring.ts';
import { Available, Descriptor, Used } from '../../src/spec/split-ring.ts';
import { packedEvent, SIZE } from './ring-memory.ts';
import type { Wish } from './state.ts';

/** The device's end of one ring, written and read byte by byte. The first byte of each buffer is its letter. */
export interface DeviceHand {
  /** What was made available and not taken, in the order of the ring. */
  readonly available: string;
  /** What the driver has asked for in the ring. */
  readonly driverWants: Wish;
  /** Takes what is available, and asks for a notification of the next one. */
  take(): string;
  /** Puts buffers that it has taken into the used ring, all in one step. */
  use(letters: string): void;
}

export class SplitDeviceHand implements DeviceHand {
  readonly #view: DataView;
  readonly #layout: QueueLayout;
  readonly #eventIndex: boolean;
  readonly #ids = new Map<string, number>();
  #taken = 0;
  #used = 0;

  constructor(view: DataView, layout: QueueLayout, eventIndex: boolean) {
    this.#view = view;
    this.#layout = layout;
    this.#eventIndex = eventIndex;
  }

  get available(): string {
    let letters = '';
    const end = this.#view.getUint16(this.#layout.driverArea + Available.INDEX, true);
    for (let at = this.#taken; at !== end; at++) letters += this.#letter(this.#head(at));
    return letters;
  }

  get driverWants(): Wish {
    if (!this.#eventIndex) return 'each';
    const event = this.#layout.driverArea + Available.RING + Available.ENTRY_SIZE * SIZE;
    return this.#view.getUint16(event, true) === this.#used ? 'next' : 'none';
  }

  take(): string {
    const letters = this.available;
    for (const letter of letters) this.#ids.set(letter, this.#head(this.#taken++));
    const event = this.#layout.deviceArea + Used.RING + Used.ENTRY_SIZE * SIZE;
    if (this.#eventIndex) this.#view.setUint16(event, this.#taken, true);
    return letters;
  }

  use(letters: string): void {
    for (const letter of letters) {
      const entry = this.#layout.deviceArea + Used.RING + Used.ENTRY_SIZE * (this.#used++ % SIZE);
      this.#view.setUint32(entry, this.#ids.get(letter)!, true);
      this.#view.setUint32(entry + 4, 0, true);
    }
    this.#view.setUint16(this.#layout.deviceArea + Used.INDEX, this.#used, true);
  }

  #head(at: number): number {
    return this.#view.getUint16(this.#layout.driverArea + Available.RING + Available.ENTRY_SIZE * (at % SIZE), true);
  }

  #letter(head: number): string {
    return letterAt(this.#view, this.#layout.descriptorArea + Descriptor.SIZE * head);
  }
}

export class PackedDeviceHand implements DeviceHand {
  readonly #view: DataView;
  readonly #layout: QueueLayout;
  readonly #eventIndex: boolean;
  readonly #ids = new Map<string, number>();
  #taken = 0;
  #used = 0;

  constructor(view: DataView, layout: QueueLayout, eventIndex: boolean) {
    this.#view = view;
    this.#layout = layout;
    this.#eventIndex = eventIndex;
  }

  get available(): string {
    let letters = '';
    for (let at = this.#taken; at < this.#used + SIZE && this.#isAvailable(at); at++)
      letters += letterAt(this.#view, this.#at(at));
    return letters;
  }

  get driverWants(): Wish {
    const { driverArea } = this.#layout;
    const flags = this.#view.getUint16(driverArea + EventSuppression.FLAGS, true);
    if (flags !== EventFlag.DESCRIPTOR) return flags === EventFlag.ENABLE ? 'each' : 'none';
    const event = this.#view.getUint16(driverArea + EventSuppression.POSITION, true);
    return event === packedEvent(this.#used) ? 'next' : 'none';
  }

  take(): string {
    const letters = this.available;
    for (const letter of letters) {
      this.#ids.set(letter, this.#view.getUint16(this.#at(this.#taken++) + PackedDescriptor.ID, true));
    }
    if (!this.#eventIndex) return letters;
    const { deviceArea } = this.#layout;
    this.#view.setUint16(deviceArea + EventSuppression.POSITION, packedEvent(this.#taken), true);
    this.#view.setUint16(deviceArea + EventSuppression.FLAGS, EventFlag.DESCRIPTOR, true);
    return letters;
  }

  use(letters: string): void {
    for (const letter of letters) {
      const marks = packedEvent(this.#used) >>> 15 === 1 ? PackedFlag.AVAILABLE | PackedFlag.USED : 0;
      const at = this.#at(this.#used++);
      this.#view.setUint16(at + PackedDescriptor.ID, this.#ids.get(letter)!, true);
      this.#view.setUint32(at + PackedDescriptor.LENGTH, 0, true);
      this.#view.setUint16(at + PackedDescriptor.FLAGS, marks, true);
    }
  }

  #isAvailable(at: number): boolean {
    const flags = this.#view.getUint16(this.#at(at) + PackedDescriptor.FLAGS, true);
    const marks = packedEvent(at) >>> 15 === 1 ? PackedFlag.AVAILABLE : PackedFlag.USED;
    return (flags & (PackedFlag.AVAILABLE | PackedFlag.USED)) === marks;
  }

  #at(position: number): number {
    return this.#layout.descriptorArea + PackedDescriptor.SIZE * (position % SIZE);
  }
}

/** The first byte of the buffer of a descriptor, whose address is at the same place in both kinds. */
function letterAt(view: DataView, descriptor: number): string {
  return String.fromCharCode(view.getUint8(Number(view.getBigUint64(descriptor, true))));
}
