import { GuestMemory, type MemoryRegion } from '../memory/guest-memory.ts';

type Seen = (address: number, length: number) => void;

/**
 * The memory of a device whose reads are to be recorded: the same bytes as `memory`, through a window that tells of each field that
 * is read. The device pays for it, nobody else. What is copied as bytes, as data is, is not seen; nor can memory be that other threads have,
 * too, for it is read by Atomics. Regions that `memory` gets later are not in it.
 */
export class SeenMemory extends GuestMemory {
  /** Told the guest-physical address and the length of what was read. */
  onRead: Seen | undefined;
  readonly #windows = new WeakMap<MemoryRegion, MemoryRegion>();
  readonly #tell: Seen = (address, length) => this.onRead?.(address, length);

  /** Throws RangeError for memory that is shared. */
  constructor(memory: GuestMemory) {
    super();
    for (const { address, bytes, shared } of memory.regions) {
      if (shared) throw new RangeError('reads of memory that other threads have, too, cannot be seen');
      this.add(address, bytes);
    }
    this.onWrite = (address, length) => memory.onWrite?.(address, length);
  }

  override find(address: number, length: number): MemoryRegion | undefined {
    const region = super.find(address, length);
    if (region === undefined) return undefined;
    const known = this.#windows.get(region);
    if (known !== undefined) return known;
    const seen = windowOf(region, this.#tell);
    this.#windows.set(region, seen);
    return seen;
  }

  override area(address: number, length: number, rule: string, what: string): MemoryRegion {
    return windowOf(super.area(address, length, rule, what), this.#tell);
  }
}

function windowOf(region: MemoryRegion, seen: Seen): MemoryRegion {
  const tell: Seen = (offset, length) => seen(region.address + offset, length);
  return { ...region, view: seenView(region.bytes, tell), words: seenWords(region.words, tell) };
}

/** Tells of fields of up to 32 bits, which are all that queues and devices read. */
function seenView({ buffer, byteOffset, byteLength }: Uint8Array, tell: Seen): DataView {
  const view = new DataView(buffer, byteOffset, byteLength);
  const { getUint8, getUint16, getUint32 } = DataView.prototype;
  return Object.assign(view, {
    getUint8: (offset: number): number => {
      tell(offset, 1);
      return getUint8.call(view, offset);
    },
    getUint16: (offset: number, littleEndian?: boolean): number => {
      tell(offset, 2);
      return getUint16.call(view, offset, littleEndian);
    },
    getUint32: (offset: number, littleEndian?: boolean): number => {
      tell(offset, 4);
      return getUint32.call(view, offset, littleEndian);
    },
  });
}

function seenWords(words: Uint16Array, tell: Seen): Uint16Array {
  return new Proxy(words, {
    get: (target, name) => {
      if (typeof name === 'string' && /^\d+$/.test(name)) tell(2 * Number(name), 2);
      return Reflect.get(target, name, target) as unknown;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
