import { joinU64 } from '../../memory/guest-memory.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { StateError } from '../../spec/fault.ts';
import { Msix } from '../../spec/pci.ts';
import { isRegister } from '../registers.ts';

const WORDS = Msix.ENTRY_BYTES / 4;
const CONTROL_WORD = Msix.ENTRY_CONTROL / 4;
const CONTROL_BITS = Msix.ENABLE | Msix.MASK_ALL;

/** The state of an MsixTable as plain data. */
export interface SavedMsixTable {
  readonly control: number;
  readonly entries: readonly number[];
  /** Vectors whose message waits for its mask. */
  readonly pending: readonly number[];
}

/**
 * The vectors of a function (PCI 3.0, 6.8.2): where each one's message goes, and which wait because they or all are masked.
 * Accesses of any other width than 32 bits, aligned, read 0 and write nothing.
 */
export class MsixTable {
  readonly vectors: number;
  /** Sends a message; set by the host. An address that no number can hold is nobody's: its messages go nowhere. */
  onMessage: ((address: number, data: number) => void) | undefined;
  readonly #entries: Uint32Array;
  readonly #pending = new Set<number>();
  #control = 0;
  #onVector: ((vector: number) => void) | undefined;

  constructor(vectors: number) {
    this.vectors = vectors;
    this.#entries = new Uint32Array(WORDS * vectors);
    this.reset();
  }

  /** Bytes of the table; the pending bits take one bit for each vector, in words of 64. */
  get tableBytes(): number {
    return this.#entries.byteLength;
  }

  get pendingBytes(): number {
    return Math.ceil(this.vectors / 64) * 8;
  }

  get enabled(): boolean {
    return (this.#control & Msix.ENABLE) !== 0;
  }

  /**
   * For a host that keeps the table itself, as vfio does: called in place of `onMessage`, with each vector that is signalled while
   * MSI-X is enabled. What is written to this table, and its masks, have no effect then.
   */
  set onVector(listener: ((vector: number) => void) | undefined) {
    this.#onVector = listener;
    this.#deliver();
  }

  /** The bits of the control register that can be written: enable, and mask all. */
  get control(): number {
    return this.#control;
  }

  set control(value: number) {
    this.#control = value & CONTROL_BITS;
    this.#deliver();
  }

  /** Sends the message of a vector, or keeps it until it may be sent. Nothing happens while MSI-X is not enabled. */
  signal(vector: number): void {
    if (!this.enabled || vector >= this.vectors) return;
    this.#pending.add(vector);
    this.#deliver();
  }

  readTable(offset: number, width: AccessWidth): number {
    return isWord(offset, width) ? (this.#entries[offset >>> 2] ?? 0) : 0;
  }

  writeTable(offset: number, width: AccessWidth, value: number): void {
    if (!isWord(offset, width) || offset >= this.tableBytes) return;
    const word = offset >>> 2;
    // All but the mask bit of a control word is reserved.
    this.#entries[word] = word % WORDS === CONTROL_WORD ? value & Msix.MASKED : value;
    this.#deliver();
  }

  readPending(offset: number, width: AccessWidth): number {
    if (!isWord(offset, width)) return 0;
    let bits = 0;
    for (const vector of this.#pending) if (vector >>> 5 === offset >>> 2) bits |= 1 << (vector & 31);
    return bits >>> 0;
  }

  /** As after the function's own reset: not enabled, every vector masked. A reset of the virtio device leaves the table alone. */
  reset(): void {
    this.#control = 0;
    this.#pending.clear();
    this.#entries.fill(0);
    for (let word = CONTROL_WORD; word < this.#entries.length; word += WORDS) this.#entries[word] = Msix.MASKED;
  }

  save(): SavedMsixTable {
    return { control: this.#control, entries: [...this.#entries], pending: [...this.#pending].sort((a, b) => a - b) };
  }

  /** Throws StateError for a state that no table has. Nothing is sent before the next `control` or `signal`. */
  check({ control, entries, pending }: { readonly [K in keyof SavedMsixTable]: unknown }): void {
    const isControl = isRegister(control, 0xffff) && (control & ~CONTROL_BITS) === 0;
    const areEntries =
      Array.isArray(entries) &&
      entries.length === this.#entries.length &&
      entries.every((value, word) => isRegister(value, word % WORDS === CONTROL_WORD ? Msix.MASKED : 0xffff_ffff));
    const arePending =
      Array.isArray(pending) &&
      pending.every((vector, n) => isRegister(vector, this.vectors - 1) && (n === 0 || vector > pending[n - 1]));
    if (!isControl || !areEntries || !arePending) {
      throw new StateError(`the saved virtio-pci function has not ${this.vectors} MSI-X vectors, or impossible ones`);
    }
  }

  /** Takes over what `check` has found good. */
  restore(saved: SavedMsixTable): void {
    this.#entries.set(saved.entries);
    this.#pending.clear();
    for (const vector of saved.pending) this.#pending.add(vector);
    this.control = saved.control;
  }

  #deliver(): void {
    if (!this.enabled) return;
    if (this.#onVector !== undefined) {
      for (const vector of this.#pending) {
        this.#pending.delete(vector);
        this.#onVector(vector);
      }
      return;
    }
    if ((this.#control & Msix.MASK_ALL) !== 0) return;
    for (const vector of this.#pending) {
      const at = WORDS * vector;
      if (this.#entries[at + CONTROL_WORD] !== 0) continue;
      this.#pending.delete(vector);
      const address = joinU64(this.#entries[at]!, this.#entries[at + 1]!);
      if (Number.isSafeInteger(address)) this.onMessage?.(address, this.#entries[at + Msix.ENTRY_DATA / 4]!);
    }
  }
}

function isWord(offset: number, width: AccessWidth): boolean {
  return width === 4 && offset % 4 === 0;
}
