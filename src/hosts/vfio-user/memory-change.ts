import type { Device } from '../../device/device.ts';
import type { QueueSlot } from '../../device/queue-slot.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { Feature, hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';

/** A client takes memory away and gives it back in one go; after this long without a further change it is done. */
const SETTLED_MS = 20;

/**
 * Keeps a device at rest while its client changes the map of the memory. A virtual machine takes all of its memory away and maps
 * it anew, in other pieces, while a driver is at work and none the wiser: what is in flight ends before memory goes, and no ring
 * is looked at before it is there again.
 */
export class MemoryChange {
  readonly #device: Device;
  readonly #memory: GuestMemory;
  readonly #limitMs: number;
  #held = false;
  #pausing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** What is in flight may take `limitMs` to end; then the device fails. */
  constructor(device: Device, memory: GuestMemory, limitMs: number) {
    this.#device = device;
    this.#memory = memory;
    this.#limitMs = limitMs;
  }

  /** Before memory goes; done at once when there is nothing to wait for. Does not reject. */
  begin(): void | Promise<void> {
    if (this.#pausing !== undefined) return this.#pausing;
    const { paused, queues, status } = this.#device;
    // One that has failed looks at nothing until it is reset.
    const isAtWork = queues.some(({ enabled }) => enabled) && (status & Status.DEVICE_NEEDS_RESET) === 0;
    if (this.#held || paused || !isAtWork) return;
    this.#pausing = this.#pause();
    return this.#pausing;
  }

  /** After a change: looks later whether it was the last one. */
  changed(): void {
    clearTimeout(this.#timer);
    if (this.#held) this.#timer = setTimeout(() => this.end(), SETTLED_MS);
  }

  /** Lets the device go on, if all rings of its driver are in memory. To be called when the client goes on to other things. */
  end(): void {
    if (!this.#held || !this.#device.queues.every((slot) => this.#isThere(slot))) return;
    clearTimeout(this.#timer);
    this.#held = false;
    this.#device.continue();
  }

  /** From now on a device that somebody paused is held here, and goes on when its rings are there. */
  adopt(): void {
    this.#held = this.#device.paused;
  }

  /** The client is gone. A device that is held stays so until the next client has brought the memory. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  async #pause(): Promise<void> {
    try {
      await this.#device.pause(this.#limitMs);
      this.#held = true;
    } catch (error) {
      this.#device.fail(error as Error);
    }
    this.#pausing = undefined;
  }

  #isThere({ enabled, size, descriptorArea, driverArea, deviceArea }: QueueSlot): boolean {
    if (!enabled) return true;
    const isPacked = hasFeature(this.#device.accepted, Feature.RING_PACKED);
    const areas = [
      [descriptorArea, 16 * size],
      [driverArea, isPacked ? 4 : 6 + 2 * size],
      [deviceArea, isPacked ? 4 : 6 + 8 * size],
    ] as const;
    return areas.every(([address, length]) => this.#memory.find(address, length) !== undefined);
  }
}
