import { Arena, PAGE_BYTES } from './arena.ts';

/** As large as an arena can be. */
export const WINDOW_BYTES: number = 2 ** 32;
/** Large pieces start at multiples of this, so that they may be of huge pages. */
const HUGE_PAGE_BYTES = 2 << 20;

/** A range of addresses into which a file can be mapped. */
export interface Window {
  readonly arena: Arena;
  readonly offset: number;
  readonly length: number;
}

/** What is seen on either side of where a range is cut. */
const SEAM_BYTES = 64 << 20;

/** A part of a range of a guest's addresses that one view shows. */
export interface RangePart {
  readonly kind: 'piece' | 'seam';
  readonly address: number;
  readonly length: number;
}

/**
 * How a range that may be larger than a view is seen: cut where the address is a multiple of 4 GiB, and where it is cut the two
 * sides once more in one view, so that what lies across can be reached, too, if it goes no further than 64 MiB on either side.
 */
export function partsOf(address: number, length: number): RangePart[] {
  const end = address + length;
  const parts: RangePart[] = [];
  for (let from = address; from < end; ) {
    const cut = Math.min(end, from - (from % WINDOW_BYTES) + WINDOW_BYTES);
    parts.push({ kind: 'piece', address: from, length: cut - from });
    from = cut;
    if (cut === end) break;
    const start = Math.max(address, cut - SEAM_BYTES);
    parts.push({ kind: 'seam', address: start, length: Math.min(end, cut + SEAM_BYTES) - start });
  }
  return parts;
}

/**
 * The addresses in which memory of other processes is seen, in arenas of 4 GiB that live as long as the process: however often
 * memory is mapped and taken away, no more of them are reserved than were in use at one time.
 */
class Windows {
  readonly #arenas: { readonly arena: Arena; readonly free: { offset: number; length: number }[] }[] = [];

  /** A window of whole pages, at most 4 GiB. Throws TransportError when there are no more addresses. */
  take(length: number): Window {
    const alignment = length >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
    for (const { arena, free } of this.#arenas) {
      for (const [at, range] of free.entries()) {
        const offset = Math.ceil(range.offset / alignment) * alignment;
        const end = range.offset + range.length;
        if (offset + length > end) continue;
        const rest = [
          { offset: range.offset, length: offset - range.offset },
          { offset: offset + length, length: end - offset - length },
        ];
        free.splice(at, 1, ...rest.filter((piece) => piece.length > 0));
        return { arena, offset, length };
      }
    }
    this.#arenas.push({ arena: Arena.reserve(WINDOW_BYTES), free: [{ offset: 0, length: WINDOW_BYTES }] });
    return this.take(length);
  }

  /** Takes out what is mapped there, and the window back. Nobody is to look at it any more. */
  release(window: Window): void {
    window.arena.unmap(window.offset, window.length);
    this.giveBack(window);
  }

  /** Takes a window back, into which nothing is mapped and nobody looks any more. */
  giveBack({ arena, offset, length }: Window): void {
    const { free } = this.#arenas.find((each) => each.arena === arena)!;
    free.push({ offset, length });
    free.sort((a, b) => a.offset - b.offset);
    for (let at = free.length - 1; at > 0; at--) {
      const [before, after] = [free[at - 1]!, free[at]!];
      if (before.offset + before.length !== after.offset) continue;
      before.length += after.length;
      free.splice(at, 1);
    }
  }
}

/** Those of this thread. */
export const windows: Windows = new Windows();
