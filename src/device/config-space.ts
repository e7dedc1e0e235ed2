/**
 * The device configuration space as the driver sees it (§2.5): a copy of the type's values, with a generation, that stays
 * as it is while the device is quiet. A change that comes then is held and shown when the device runs again.
 */
export class ConfigSpace {
  readonly #source: () => Uint8Array;
  #bytes: Uint8Array;
  #generation = 0;
  #changedSinceRead = false;
  #changeHeld = false;

  constructor(source: () => Uint8Array) {
    this.#source = source;
    this.#bytes = source().slice();
  }

  get size(): number {
    return this.#bytes.length;
  }

  /**
   * Differs once the driver has read a changed value (§4.1.4.3.1). Counted at reads, not at changes, so that no number of
   * changes wraps it back to what the driver saw. 32 bit.
   */
  get generation(): number {
    return this.#generation;
  }

  /** A change is waiting to be shown. */
  get changeHeld(): boolean {
    return this.#changeHeld;
  }

  /** The visible bytes; not to be kept or changed. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Little-endian value of `width` bytes at `offset`; bytes beyond the end read 0. */
  read(offset: number, width: number): number {
    if (this.#changedSinceRead) {
      this.#changedSinceRead = false;
      this.#generation = (this.#generation + 1) >>> 0;
    }
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0);
    return value;
  }

  /** Notes a change to be shown later. */
  hold(): void {
    this.#changeHeld = true;
  }

  /** Shows the present values. */
  show(): void {
    this.#bytes = this.#source().slice();
    this.#changedSinceRead = true;
    this.#changeHeld = false;
  }

  /** After a driver's own write: shows what came of it; no new generation, the driver knows. */
  refresh(): void {
    this.#bytes = this.#source().slice();
  }

  restore(bytes: Uint8Array, generation: number, changeHeld: boolean): void {
    this.#bytes = bytes;
    this.#generation = generation;
    this.#changedSinceRead = false;
    this.#changeHeld = changeHeld;
  }
}
