import type { PciAccess } from '../../transports/pci/driver.ts';
import type { AccessWidth, PciFunction } from '../../transports/pci/function.ts';

/** A PCI bus of one function and one driver: accesses are calls, the interrupt line is a call back. */
export class PciLoopback implements PciAccess {
  onInterrupt: (() => void) | undefined;
  #function!: PciFunction;

  constructor(fn: PciFunction) {
    this.connect(fn);
  }

  /** Puts another function behind the driver, as when a saved state goes on in a new one. A line that is up is noticed. */
  connect(fn: PciFunction): void {
    this.#function = fn;
    fn.onInterruptLine = (asserted) => {
      if (asserted) this.onInterrupt?.();
    };
    if (fn.interruptLine) this.onInterrupt?.();
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#function.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#function.writeConfig(offset, width, value);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    return this.#function.readBar(bar, offset, width);
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.#function.writeBar(bar, offset, width, value);
  }
}
