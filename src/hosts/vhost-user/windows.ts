import { Arena } from '../../unix/arena.ts';

/** An ArrayBuffer of addresses costs nothing until something is mapped into it; this is the largest one there can be. */
const WINDOW_BYTES = 2 ** 32;

/** Where a region is mapped. */
export interface Place {
  readonly arena: Arena;
  readonly offset: number;
  readonly length: number;
}

/**
 * Hands out addresses to regions of memory, first fit. There are as many arenas as it takes; none is ever given back, for a
 * view of addresses that are gone would end the process.
 */
export class Windows {
  readonly #windows: { readonly arena: Arena; readonly places: Place[] }[] = [];

  /** Addresses for `length` bytes, at most 4 GiB. Nothing is mapped there; it may not be touched before. */
  allocate(length: number): Place {
    if (length > WINDOW_BYTES) throw new RangeError(`${length} bytes are more than one window has`);
    for (const window of this.#windows) {
      const offset = gap(window.places, length);
      if (offset !== undefined) return add(window, offset, length);
    }
    const window = { arena: Arena.reserve(WINDOW_BYTES), places: [] };
    this.#windows.push(window);
    return add(window, 0, length);
  }

  /** Takes the memory out of its place, which may be given to another region then. */
  release(place: Place): void {
    place.arena.unmap(place.offset, place.length);
    for (const { places } of this.#windows) {
      const index = places.indexOf(place);
      if (index >= 0) places.splice(index, 1);
    }
  }
}

/** The first free offset, of places that are sorted. */
function gap(places: readonly Place[], length: number): number | undefined {
  let offset = 0;
  for (const place of places) {
    if (place.offset - offset >= length) return offset;
    offset = place.offset + place.length;
  }
  return WINDOW_BYTES - offset >= length ? offset : undefined;
}

function add(
  { arena, places }: { readonly arena: Arena; readonly places: Place[] },
  offset: number,
  length: number,
): Place {
  const place = { arena, offset, length };
  places.push(place);
  places.sort((one, other) => one.offset - other.offset);
  return place;
}
