/** Which parts of a read have come. A server may send them in any order, each once. */
export class ReadCover {
  readonly #length: number;
  readonly #parts: { readonly start: number; readonly length: number }[] = [];
  #covered = 0;

  constructor(length: number) {
    this.#length = length;
  }

  /** False when more has come than there is. */
  add(start: number, length: number): boolean {
    this.#parts.push({ start, length });
    this.#covered += length;
    return this.#covered <= this.#length;
  }

  /** Whether the parts are all of it, without a gap or an overlap. */
  get isWhole(): boolean {
    let end = 0;
    for (const part of this.#parts.sort((a, b) => a.start - b.start)) {
      if (part.start !== end) return false;
      end += part.length;
    }
    return end === this.#length;
  }
}
