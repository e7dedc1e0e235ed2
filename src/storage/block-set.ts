/** Blocks of one page of the bitmap: 128 MiB of a disk in 4 KiB of memory. */
const pageBlocks = 32768;
const wordsPerPage = pageBlocks / 32;

/**
 * A set of block numbers, 0 to 2^32 - 1, as a sparse bitmap: a discard of a whole disk costs a bit a block, where a Set
 * costs some 40 bytes.
 */
export class BlockSet {
  readonly #pages: Map<number, Uint32Array> = new Map();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(block: number): boolean {
    const page = this.#pages.get(Math.floor(block / pageBlocks));
    if (page === undefined) return false;
    const bit = block % pageBlocks;
    return ((page[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  add(block: number): void {
    const bit = block % pageBlocks;
    const page = this.#page(Math.floor(block / pageBlocks));
    const word = page[bit >>> 5]!;
    const mask = 1 << (bit & 31);
    if ((word & mask) !== 0) return;
    page[bit >>> 5] = word | mask;
    this.#size++;
  }

  delete(block: number): void {
    const page = this.#pages.get(Math.floor(block / pageBlocks));
    if (page === undefined) return;
    const bit = block % pageBlocks;
    const word = page[bit >>> 5]!;
    const mask = 1 << (bit & 31);
    if ((word & mask) === 0) return;
    page[bit >>> 5] = word & ~mask;
    this.#size--;
  }

  /** Takes out `first` and all that follow. */
  deleteFrom(first: number): void {
    for (const number of [...this.#pages.keys()]) {
      if ((number + 1) * pageBlocks <= first) continue;
      for (const block of this.#blocksOf(number)) {
        if (block >= first) this.delete(block);
      }
      if (number * pageBlocks >= first) this.#pages.delete(number);
    }
  }

  clear(): void {
    this.#pages.clear();
    this.#size = 0;
  }

  /** Every block of the set, ascending. The set must not change meanwhile. */
  *[Symbol.iterator](): Generator<number, void> {
    for (const number of [...this.#pages.keys()].sort((a, b) => a - b)) yield* this.#blocksOf(number);
  }

  *#blocksOf(number: number): Generator<number, void> {
    const page = this.#pages.get(number)!;
    for (let word = 0; word < wordsPerPage; word++) {
      for (let bits = page[word]!; bits !== 0; bits &= bits - 1) {
        yield number * pageBlocks + word * 32 + (31 - Math.clz32(bits & -bits));
      }
    }
  }

  #page(number: number): Uint32Array {
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint32Array(wordsPerPage);
      this.#pages.set(number, page);
    }
    return page;
  }
}
