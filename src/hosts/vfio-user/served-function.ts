import type { GuestMemory } from '../../memory/guest-memory.ts';
import { Msix, PciHeader } from '../../spec/pci.ts';
import { MSIX_CAP } from '../../transports/pci/capabilities.ts';
import type { PciDevice } from '../../transports/pci/device.ts';
import { DmaRegions } from './dma-regions.ts';
import { MemoryChange } from './memory-change.ts';
import { DeviceState, type Request } from './messages.ts';
import { Migration } from './migration.ts';

/** Clients wait five seconds for an answer, if they are told nothing else; what they wait for is given up before. */
const QUIET_LIMIT_MS = 3000;

/** A function as it is from one client to the next: its memory, its state of migration. */
export class ServedFunction {
  readonly fn: PciDevice;
  readonly regions: DmaRegions;
  readonly migration: Migration;
  readonly #change: MemoryChange;
  readonly #onReset: () => void;

  /** `onReset` is called before the function is reset. */
  constructor(fn: PciDevice, memory: GuestMemory, onReset: () => void = () => {}) {
    this.fn = fn;
    this.#onReset = onReset;
    this.regions = new DmaRegions(memory, () => fn.device.inFlight);
    this.migration = new Migration(fn, QUIET_LIMIT_MS);
    this.#change = new MemoryChange(fn.device, memory, QUIET_LIMIT_MS);
  }

  /** See `DmaRegions.map`. */
  map(request: Request<'dmaMap'>, fds: readonly number[]): void {
    this.regions.map(request, fds);
    this.#change.changed();
  }

  /** Takes a region away when the device does not look at it, which may be at once. See `DmaRegions.unmap`. */
  unmap(request: Request<'dmaUnmap'>): void | Promise<void> {
    const unmap = (): void => {
      this.regions.unmap(request);
      this.#change.changed();
    };
    if (!this.regions.isReachable(request)) return unmap();
    return this.#change.begin()?.then(unmap) ?? unmap();
  }

  /** The client is done with changing memory, if it did. */
  goOn(): void {
    this.#change.end();
  }

  /** As by the reset line of the bus. */
  reset(): void {
    const { device, interrupts } = this.fn;
    this.#onReset();
    device.reset();
    this.fn.writeConfig(PciHeader.COMMAND, 2, 0);
    if (interrupts.msix !== undefined) this.fn.writeConfig(MSIX_CAP + Msix.CONTROL, 2, 0);
    interrupts.msix?.reset();
    this.migration.reset();
    this.goOn();
  }

  /** The client is gone, and its memory with it. The device keeps its state, and goes on with a client that has the same memory. */
  async leave(): Promise<void> {
    if (this.migration.state === DeviceState.RUNNING) await this.#change.begin();
    else {
      this.migration.abandon();
      this.#change.adopt();
    }
    this.#change.rest();
    this.regions.unmapAll();
  }
}
