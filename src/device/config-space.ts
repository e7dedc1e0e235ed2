/** What the configuration space asks of its device before a change is shown or told. */
export interface ConfigHooks {
  /** The values stay as they are now: the device is quiet. */
  frozen(): boolean;
  /** A notification is due to the driver: it has set DRIVER_OK. */
  live(): boolean;
  /** No notification goes out now: the host holds the device. */
  held(): boolean;
  /** Sends a configuration change notification. */
  notify(): void;
}

/**
 * The device configuration space as the driver sees it (§2.5): a copy of the type's values, with a generation, that stays
 * as it is while the device is quiet. A change that comes then is held and shown when the device runs again.
 */
export class ConfigSpace {
  readonly #source: () => Uint8Array;
  readonly #hooks: ConfigHooks;
  #bytes: Uint8Array;
  #generation = 0;
  #changedSinceRead = false;
  #changeHeld = false;
  #notificationOwed = false;

  constructor(source: () => Uint8Array, hooks: ConfigHooks) {
    this.#source = source;
    this.#hooks = hooks;
    this.#bytes = source().slice();
  }

  get size(): number {
    return this.#bytes.length;
  }

  /**
   * Differs once the driver has looked at a changed space (§4.1.4.3.1). Counted when it looks, here or at the values, and not
   * at changes, so that no number of changes wraps it back to what the driver saw. 32 bit.
   */
  get generation(): number {
    if (this.#changedSinceRead) {
      this.#changedSinceRead = false;
      this.#generation = (this.#generation + 1) >>> 0;
    }
    return this.#generation;
  }

  /** A change is waiting to be shown. */
  get changeHeld(): boolean {
    return this.#changeHeld;
  }

  /** A notification could not be sent yet. */
  get notificationOwed(): boolean {
    return this.#notificationOwed;
  }

  /** Little-endian value of `width` bytes at `offset`; bytes beyond the end read 0. */
  read(offset: number, width: number): number {
    void this.generation;
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0);
    return value;
  }

  /** The source has other values: shows and tells them, or holds both back. */
  changed(): void {
    if (this.#hooks.frozen()) {
      this.#changeHeld = true;
      return;
    }
    this.#show();
    this.owe();
  }

  /** Notifies the driver now if it may be, else when the device is let go. */
  owe(): void {
    const live = this.#hooks.live();
    const held = this.#hooks.held();
    this.#notificationOwed = live && held;
    if (live && !held) this.#hooks.notify();
  }

  /** The device was let go: shows and tells what was held back, once. Not if it was brought to rest again meanwhile. */
  settle(): void {
    if (this.#hooks.frozen()) return;
    if (!this.#changeHeld) {
      this.tellOwed();
      return;
    }
    this.#show();
    this.owe();
  }

  /** A notification that waited for the host goes out, if the host has let go; also when the device does not run again. */
  tellOwed(): void {
    if (this.#notificationOwed) this.owe();
  }

  /** A reset forgets what was held back: the driver reads everything anew, whatever the generation. */
  reset(): void {
    this.#notificationOwed = false;
    this.#changeHeld = false;
    this.refresh();
  }

  /** After a driver's own write: shows what came of it; no new generation, the driver knows, unless it uncovers what was held. */
  refresh(): void {
    if (this.#changeHeld) this.#changedSinceRead = true;
    this.#bytes = this.#source().slice();
  }

  /** Takes over what was saved. Where the source says something else now, as when a disk was resized meanwhile, that is held. */
  restore(saved: ConfigState): void {
    this.#bytes = Uint8Array.from(saved.bytes);
    this.#generation = saved.generation;
    this.#changedSinceRead = saved.changedSinceRead;
    this.#notificationOwed = saved.notificationOwed;
    this.#changeHeld = saved.changeHeld || this.#source().some((byte, at) => byte !== saved.bytes[at]);
  }

  save(): ConfigState {
    const { changeHeld, notificationOwed } = this;
    const changedSinceRead = this.#changedSinceRead;
    return { bytes: [...this.#bytes], generation: this.#generation, changedSinceRead, changeHeld, notificationOwed };
  }

  #show(): void {
    this.#bytes = this.#source().slice();
    this.#changedSinceRead = true;
    this.#changeHeld = false;
  }
}

/** The configuration space as plain data. */
export interface ConfigState {
  readonly bytes: readonly number[];
  readonly generation: number;
  /** The driver has not read them since they changed: a driver that has read a part before goes on reading elsewhere. */
  readonly changedSinceRead: boolean;
  /** The values differ from the visible ones. */
  readonly changeHeld: boolean;
  readonly notificationOwed: boolean;
}
