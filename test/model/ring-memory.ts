import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Feature, type FeatureSet, featureSet } from '../../src/spec/features.ts';
import type { Settings } from './state.ts';

/** A kind of ring that fits a setting of the model. */
export interface RingKind {
  readonly format: 'split' | 'packed';
  readonly eventIndex: boolean;
  readonly inOrder: boolean;
}

/** Entries of each queue: more than the driver has buffers, and few, so that positions wrap soon. */
export const SIZE = 4;

/** Where the byte of each buffer is, which is its letter. */
export const DATA: Readonly<Record<string, number>> = { a: 0x100, b: 0x110, c: 0x120 };

/** Rings of former lives stay where they are for a while, so that whoever still looks there is found out. */
const AREAS = 4;
const AREA_BYTES = 0x100;
const FIRST_AREA = 0x200;
const POISON = 0xa5;

/** The kinds of ring whose ends say as a setting has it that they want to be notified. */
export function ringKinds({ notify, order }: Settings): readonly RingKind[] {
  const inOrder = order === 'in order';
  if (notify === 'always')
    return (['split', 'packed'] as const).map((format) => ({ format, eventIndex: false, inOrder }));
  return [{ format: notify === 'split event index' ? 'split' : 'packed', eventIndex: true, inOrder }];
}

/** What a driver accepts for such a ring, with what the model is about. */
export function ringFeatures({ format, eventIndex, inOrder }: RingKind): FeatureSet {
  return featureSet(
    Feature.VERSION_1,
    Feature.SUSPEND,
    Feature.RING_RESET,
    ...(format === 'packed' ? [Feature.RING_PACKED] : []),
    ...(eventIndex ? [Feature.EVENT_IDX] : []),
    ...(inOrder ? [Feature.IN_ORDER] : []),
  );
}

/** Guest memory with the bytes of the buffers and room for a few rings. */
export class RingMemory {
  readonly memory: GuestMemory;
  readonly eventIndex: boolean;
  readonly inOrder: boolean;
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  #made = 0;

  constructor({ eventIndex, inOrder }: RingKind) {
    this.#bytes = new Uint8Array(FIRST_AREA + AREAS * AREA_BYTES);
    this.view = new DataView(this.#bytes.buffer);
    this.memory = GuestMemory.over(this.#bytes);
    this.eventIndex = eventIndex;
    this.inOrder = inOrder;
    for (const [letter, at] of Object.entries(DATA)) this.#bytes[at] = letter.charCodeAt(0);
  }

  /** Room for another ring, all zero; nothing of the former one can be read any more. */
  nextArea(): number {
    const base = (n: number): number => FIRST_AREA + (n % AREAS) * AREA_BYTES;
    if (this.#made > 0) this.#bytes.fill(POISON, base(this.#made - 1), base(this.#made - 1) + AREA_BYTES);
    const area = base(this.#made++);
    this.#bytes.fill(0, area, area + AREA_BYTES);
    return area;
  }

  /** There is no guest memory: whoever looks for it fails. */
  remove(): void {
    this.memory.remove(this.memory.regions[0]!);
  }

  restore(): void {
    this.memory.add(0, this.#bytes);
  }
}

/** Where the `count`th descriptor of a packed ring is, and the wrap counter there in bit 15 (§2.8.14). */
export function packedEvent(count: number): number {
  const wrap = Math.floor(count / SIZE) % 2 === 0 ? 1 : 0;
  return (count % SIZE) | (wrap << 15);
}
