import type { FeatureSet } from '../../spec/features.ts';

/**
 * What a device that is played shows and hears otherwise than the device behind it: late, with another pair of bits on the way,
 * deaf to a request, gone.
 */
export class Variation {
  /** What the next reads of the status show, one after the other, before it is the device's own again. */
  readonly statuses: number[] = [];
  /** Shown for ever. */
  status: number | undefined;
  /** Writes of the status that the device does not hear. */
  isDeaf: (value: number) => boolean = () => false;
  /** Kicks go past the device. */
  missesKicks = false;
  /** Offered besides. */
  alsoOffered: FeatureSet = 0n;
  /** Not offered. */
  withheld: FeatureSet = 0n;
  /** Called after each write of the status. */
  onWritten: (value: number) => void = () => {};
  /** Called before each read of the status. */
  onRead: () => void = () => {};
  /** What the driver has written to the status, in order. */
  readonly writes: number[] = [];
  #kicks = 0;
  #resets = 0;
  #missedKicks = 0;

  /** Resets that the driver has asked for. */
  get resets(): number {
    return this.#resets;
  }

  /** Those that went past the device, too. */
  get kicks(): number {
    return this.#kicks;
  }

  get missedKicks(): number {
    return this.#missedKicks;
  }

  /** The status that a read shows. */
  shown<T>(own: () => T): T | number {
    this.onRead();
    return this.status ?? this.statuses.shift() ?? own();
  }

  /** A write of the status; `write` lets the device hear it. */
  written(value: number, write: (value: number) => void): void {
    this.writes.push(value);
    if (value === 0) this.#resets++;
    if (!this.isDeaf(value)) write(value);
    this.onWritten(value);
  }

  offered(own: FeatureSet): FeatureSet {
    return (own & ~this.withheld) | this.alsoOffered;
  }

  kicked(kick: () => void): void {
    this.#kicks++;
    if (this.missesKicks) this.#missedKicks++;
    else kick();
  }

  /** The device is heard and seen as it is; what it offers stays. */
  end(): void {
    this.statuses.length = 0;
    this.status = undefined;
    this.isDeaf = () => false;
    this.missesKicks = false;
    this.onWritten = () => {};
    this.onRead = () => {};
  }
}
