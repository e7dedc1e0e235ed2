import { StateError } from '../../spec/fault.ts';
import { Isr, NO_VECTOR } from '../../spec/pci.ts';
import { isRegister } from '../registers.ts';
import { MsixTable, type SavedMsixTable } from './msix-table.ts';

/** The state of the interrupts of a function as plain data. */
export interface SavedInterrupts {
  readonly isr: number;
  /** Null for a function without MSI-X. */
  readonly msix: (SavedMsixTable & { readonly config: number; readonly queues: readonly number[] }) | null;
}

/**
 * How a function tells its driver: by MSI-X messages where the driver has enabled them, else by INTx, which is up as long as
 * a bit of the ISR is set (§4.1.4.5, §4.1.5.1).
 */
export class PciInterrupts {
  readonly msix: MsixTable | undefined;
  onLine: ((asserted: boolean) => void) | undefined;
  readonly #isIntxDisabled: () => boolean;
  /** The vectors that the driver has mapped to events. */
  #configVector: number = NO_VECTOR;
  readonly #queueVectors: number[];
  #isr = 0;
  #line = false;

  constructor(queues: number, vectors: number, isIntxDisabled: () => boolean) {
    this.#queueVectors = new Array<number>(queues).fill(NO_VECTOR);
    this.msix = vectors === 0 ? undefined : new MsixTable(vectors);
    this.#isIntxDisabled = isIntxDisabled;
  }

  get line(): boolean {
    return this.#line;
  }

  /** The interrupt status bit of PCI: INTx would be up, were it not disabled. */
  get pending(): boolean {
    return this.#isr !== 0 && this.msix?.enabled !== true;
  }

  usedBuffer(queue: number): void {
    if (this.msix?.enabled === true) this.msix.signal(this.#queueVectors[queue]!);
    else this.#raise(Isr.QUEUE);
  }

  configChange(): void {
    // §4.1.4.5.1: the bit is set whichever way the driver is told.
    this.#raise(Isr.CONFIG);
    this.msix?.signal(this.#configVector);
  }

  /** Reading takes the causes away. */
  readIsr(): number {
    const value = this.#isr;
    this.#isr = 0;
    this.update();
    return value;
  }

  get configVector(): number {
    return this.#configVector;
  }

  /** A vector that is not there maps to none (§4.1.5.1.2). */
  set configVector(vector: number) {
    this.#configVector = this.#existing(vector);
  }

  queueVector(queue: number): number {
    return this.#queueVectors[queue] ?? NO_VECTOR;
  }

  mapQueue(queue: number, vector: number): void {
    if (queue < this.#queueVectors.length) this.#queueVectors[queue] = this.#existing(vector);
  }

  /** The virtio device was reset: causes and mappings are gone. The table is PCI's, and stays. */
  reset(): void {
    this.#isr = 0;
    this.#configVector = NO_VECTOR;
    this.#queueVectors.fill(NO_VECTOR);
    this.update();
  }

  /** What INTx depends on may have changed. */
  update(): void {
    const asserted = this.pending && !this.#isIntxDisabled();
    if (asserted === this.#line) return;
    this.#line = asserted;
    this.onLine?.(asserted);
  }

  save(): SavedInterrupts {
    const msix = this.msix && { ...this.msix.save(), config: this.#configVector, queues: [...this.#queueVectors] };
    return { isr: this.#isr, msix: msix ?? null };
  }

  /** Throws StateError for a state that this function cannot have. */
  check(saved: SavedInterrupts): void {
    const { isr, msix } = saved;
    if (!isRegister(isr, Isr.QUEUE | Isr.CONFIG) || typeof msix !== 'object') {
      throw new StateError('the saved virtio-pci function has interrupts that cannot be');
    }
    if ((msix === null) !== (this.msix === undefined)) {
      throw new StateError(`the saved virtio-pci function has ${msix === null ? 'no ' : ''}MSI-X, unlike this one`);
    }
    if (msix === null) return;
    this.msix!.check(msix);
    const vectors: unknown = msix.queues;
    const areMapped =
      Array.isArray(vectors) &&
      vectors.length === this.#queueVectors.length &&
      [msix.config, ...vectors].every((vector) => Number.isInteger(vector) && this.#existing(vector) === vector);
    if (!areMapped) throw new StateError('the saved virtio-pci function has events mapped to vectors that it lacks');
  }

  /** Takes over what `check` has found good; a message that waited for nothing but this goes out. */
  restore({ isr, msix }: SavedInterrupts): void {
    this.#isr = isr;
    if (msix !== null) {
      this.#configVector = msix.config;
      for (const [queue, vector] of msix.queues.entries()) this.#queueVectors[queue] = vector;
      this.msix!.restore(msix);
    }
    this.update();
  }

  #raise(bit: number): void {
    this.#isr |= bit;
    this.update();
  }

  #existing(vector: number): number {
    return vector >= 0 && vector < (this.msix?.vectors ?? 0) ? vector : NO_VECTOR;
  }
}
