import type { AccessWidth } from '../../spec/access-width.ts';
import type { PciAccess } from '../../transports/pci/driver.ts';
import type { PciMessages } from '../../transports/pci/driver-vectors.ts';
import type { PciFunction } from '../../transports/pci/function.ts';

/** Where messages go: what x86 has there. The data is the vector. */
const MESSAGE_ADDRESS = 0xfee0_0000;

/** A PCI bus of one function and one driver: accesses are calls; the interrupt line and messages are calls back. */
export class PciLoopback implements PciAccess {
  onInterrupt: (() => void) | undefined;
  readonly messages: PciMessages = {
    messageFor: (vector, handler) => {
      this.#handlers[vector] = handler;
      return { address: MESSAGE_ADDRESS, data: vector };
    },
  };
  readonly #handlers: (() => void)[] = [];
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
    fn.onMessage = (address, data) => {
      if (address === MESSAGE_ADDRESS) this.#handlers[data]?.();
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
