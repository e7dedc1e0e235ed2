/** A disk with who knows what on it: a sector has to have whatever bytes it had when it was read first. */
export class SeenDisk {
  readonly #sectors = new Map<number, Uint8Array>();

  readonly isSector = (sector: number, bytes: Uint8Array): boolean => {
    const before = this.#sectors.get(sector);
    if (before === undefined) this.#sectors.set(sector, bytes.slice());
    return before === undefined || bytes.every((byte, at) => byte === before[at]);
  };
}
