import type { AccessWidth } from '../../src/spec/access-width.ts';
import { PCI_CAPABILITY_VENDOR, PciHeader, VirtioPciCap, VirtioPciCapType } from '../../src/spec/pci.ts';
import type { PciAccess } from '../../src/transports/pci/driver.ts';

/** A bus whose accesses are calls. */
interface SynchronousBus extends PciAccess {
  readConfig(offset: number, width: AccessWidth): number;
}

/** A driver that reaches the BARs through the PCI configuration access capability alone (§4.1.4.9). */
export class WindowAccess implements PciAccess {
  readonly #bus: SynchronousBus;
  readonly #window: number;

  constructor(bus: SynchronousBus) {
    this.#bus = bus;
    let at = bus.readConfig(PciHeader.CAPABILITIES, 1);
    while (
      bus.readConfig(at + VirtioPciCap.VENDOR, 1) !== PCI_CAPABILITY_VENDOR ||
      bus.readConfig(at + VirtioPciCap.TYPE, 1) !== VirtioPciCapType.PCI
    ) {
      at = bus.readConfig(at + VirtioPciCap.NEXT, 1);
      if (at === 0) throw new Error('the function has no such capability');
    }
    this.#window = at;
  }

  get onInterrupt(): (() => void) | undefined {
    return this.#bus.onInterrupt;
  }

  set onInterrupt(callback: (() => void) | undefined) {
    this.#bus.onInterrupt = callback;
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#bus.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#bus.writeConfig(offset, width, value);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    this.#point(bar, offset, width);
    return this.#bus.readConfig(this.#window + VirtioPciCap.PCI_CFG_DATA, width);
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.#point(bar, offset, width);
    this.#bus.writeConfig(this.#window + VirtioPciCap.PCI_CFG_DATA, width, value);
  }

  #point(bar: number, offset: number, width: number): void {
    this.#bus.writeConfig(this.#window + VirtioPciCap.BAR, 1, bar);
    this.#bus.writeConfig(this.#window + VirtioPciCap.OFFSET, 4, offset);
    this.#bus.writeConfig(this.#window + VirtioPciCap.SIZE, 4, width);
  }
}
