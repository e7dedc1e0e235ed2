import type { DriverTransport, Later } from '../../src/driver/transport.ts';
import type { QueueLayout } from '../../src/queue/device-queue.ts';
import type { FeatureSet } from '../../src/spec/features.ts';
import { type DeviceHand, PackedDeviceHand, SplitDeviceHand } from './device-hand.ts';
import { compare } from './difference.ts';
import { type RingKind, ringFeatures, SIZE } from './ring-memory.ts';
import { hex } from './shown.ts';
import type { Said } from './step.ts';

/**
 * The model's device behind a real driver: what it does within a step it does here when the driver has done what comes before
 * that. After a write the driver's next read of the status is not answered until `answer`: that is a step of its own.
 */
export class ToldTransport implements DriverTransport {
  readonly deviceId: number = 63;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  /** What the driver has done. */
  readonly said: Said[] = [];
  /** The device's end of the ring that is in use. */
  hand: DeviceHand | undefined;
  readonly #view: DataView;
  readonly #kind: RingKind;
  #shown = 0;
  #script: readonly Said[] = [];
  #at = 0;
  #answers = true;
  readonly #reads: ((status: number) => void)[] = [];
  #exposedSeen = '';

  constructor(view: DataView, kind: RingKind) {
    this.#view = view;
    this.#kind = kind;
  }

  /** A step begins, in which this is to happen. */
  begin(script: readonly Said[]): void {
    this.#script = script;
    this.#at = 0;
    this.#answers = true;
    this.#play();
  }

  /** A step ends: whatever the driver has left out, the device does its part. */
  end(): void {
    while (this.#at < this.#script.length) {
      this.#at++;
      this.#play();
    }
    this.#noteExposed();
    const { length } = this.#script;
    const isForgotten = this.#script.lastIndexOf('new rings') > this.#script.lastIndexOf('enable');
    if (length > 0 && isForgotten) this.hand = undefined;
  }

  /** A read of the status waits for its answer. */
  get isRead(): boolean {
    return this.#reads.length > 0;
  }

  /** Reads are not answered for now. */
  hold(): void {
    this.#answers = false;
  }

  /** They are, and so are those that waited. */
  answer(): void {
    this.#answers = true;
    for (const resolve of this.#reads.splice(0)) resolve(this.#shown);
  }

  readStatus(): Later<number> {
    this.#noteExposed();
    return this.#answers ? this.#shown : new Promise((resolve) => this.#reads.push(resolve));
  }

  writeStatus(value: number): void {
    this.#does(`write ${hex(value)}`);
    this.#answers = false;
  }

  readFeatures(): FeatureSet {
    return ringFeatures(this.#kind);
  }

  writeFeatures(features: FeatureSet): void {
    compare('features', String(ringFeatures(this.#kind)), String(features));
    this.said.push('features');
  }

  readQueueSize(): number {
    return SIZE;
  }

  enableQueue(_: number, layout: QueueLayout): void {
    const Hand = this.#kind.format === 'split' ? SplitDeviceHand : PackedDeviceHand;
    this.#noteExposed();
    this.hand = new Hand(this.#view, layout, this.#kind.eventIndex);
    this.#exposedSeen = '';
    this.#does('enable');
  }

  resetQueue(): void {
    this.#does('reset queue');
    this.#answers = false;
  }

  queueIsReset(): boolean {
    return true;
  }

  readConfigGeneration(): number {
    return 0;
  }

  readConfig(): number {
    return 0;
  }

  writeConfig(): void {
    throw new Error('the driver writes to the configuration space');
  }

  kick(): void {
    this.#noteExposed();
    this.said.push('kick');
  }

  /** The driver does something that its device answers to. */
  #does(word: Said): void {
    this.#noteExposed();
    this.said.push(word);
    if (this.#at < this.#script.length) this.#at++;
    this.#play();
  }

  /** What the device does until the driver does something again. */
  #play(): void {
    for (; this.#at < this.#script.length; this.#at++) {
      const word = this.#script[this.#at]!;
      const [what, rest] = word.split(' ') as [string, string];
      if (what === 'write' || what === 'enable' || what === 'reset') return;
      if (what === 'status') this.#shown = Number.parseInt(rest, 16);
      else if (what === 'use') this.hand!.use(rest);
      else if (what === 'take') this.#take(rest);
    }
  }

  #take(letters: string): void {
    this.#noteExposed();
    compare('the device finds', letters, this.hand!.take());
    this.#exposedSeen = '';
  }

  /** What the device could find in its queue since the last look. */
  #noteExposed(): void {
    const available = this.hand?.available ?? '';
    if (available.length > this.#exposedSeen.length)
      this.said.push(`expose ${available.slice(this.#exposedSeen.length)}`);
    this.#exposedSeen = available;
  }
}
