import { PciHeader } from '../../spec/pci.ts';
import type { V86Pci } from './emulator.ts';

/** Offset of the four interrupt routes in the configuration space of the ISA bridge. */
const ROUTES = 0x60;

/**
 * Interrupt lines that several PCI functions share, v86's own and ours. In v86 the last one to speak decides the level of
 * a line; here a line is high as long as one of its functions asserts it.
 */
export class InterruptLines {
  readonly #pci: V86Pci;
  readonly #asserted = new Set<number>();
  readonly #raise: (id: number) => void;
  readonly #lower: (id: number) => void;

  constructor(pci: V86Pci) {
    this.#pci = pci;
    const { raise_irq: raise, lower_irq: lower } = pci;
    this.#raise = (id) => raise.call(pci, id);
    this.#lower = (id) => lower.call(pci, id);
    pci.raise_irq = (id) => this.set(id, true);
    pci.lower_irq = (id) => this.set(id, false);
  }

  /** Function `id` asserts its interrupt, or no longer does. */
  set(id: number, asserted: boolean): void {
    if (asserted) {
      this.#asserted.add(id);
      this.#raise(id);
      return;
    }
    this.#asserted.delete(id);
    const line = this.#line(id);
    for (const other of this.#asserted) if (this.#line(other) === line) return;
    this.#lower(id);
  }

  /** The functions that assert their interrupt now. */
  get asserted(): readonly number[] {
    return [...this.#asserted];
  }

  /** After v86's interrupt controller was restored to the time when `asserted` were. */
  restore(asserted: readonly number[]): void {
    this.#asserted.clear();
    for (const id of asserted) this.#asserted.add(id);
  }

  /** The interrupt that a function's pin is routed to: pins rotate with the slot, as in v86. */
  #line(id: number): number {
    const word = this.#pci.device_spaces[id]?.[PciHeader.INTERRUPT_LINE >>> 2] ?? 0;
    const pin = ((word >> 8) & 0xff) - 1;
    return this.#pci.isa_bridge_space8[ROUTES + ((pin + (id >> 3) - 1) & 3)]!;
  }
}
