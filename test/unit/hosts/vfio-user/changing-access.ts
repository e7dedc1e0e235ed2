import type { PciAccess } from '../../../../src/transports/pci/driver.ts';

/** Access to a function that moves from one server to another, or from one connection to another. */
export class ChangingAccess implements PciAccess {
  #client!: PciAccess;
  #onInterrupt: (() => void) | undefined;

  constructor(client: PciAccess) {
    this.client = client;
  }

  get client(): PciAccess {
    return this.#client;
  }

  set client(client: PciAccess) {
    this.#client = client;
    client.onInterrupt = this.#onInterrupt;
  }

  get onInterrupt(): (() => void) | undefined {
    return this.#onInterrupt;
  }

  set onInterrupt(handler: (() => void) | undefined) {
    this.#onInterrupt = handler;
    this.#client.onInterrupt = handler;
  }

  readConfig: PciAccess['readConfig'] = (...args) => this.#client.readConfig(...args);
  writeConfig: PciAccess['writeConfig'] = (...args) => this.#client.writeConfig(...args);
  readBar: PciAccess['readBar'] = (...args) => this.#client.readBar(...args);
  writeBar: PciAccess['writeBar'] = (...args) => this.#client.writeBar(...args);
}
