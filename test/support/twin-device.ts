import type { DriverTransport } from '../../src/driver/transport.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { TraceEvent } from '../../src/monitor/trace.ts';
import type { Chain } from '../../src/queue/chain.ts';
import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { SplitDeviceQueue } from '../../src/queue/split-device-queue.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';

const { DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** The one thing that a twin does wrong. */
export type DeviceFault =
  | 'shows SUSPEND before DRIVER_OK'
  | 'takes configuration writes at rest'
  | 'interrupts at rest'
  | 'uses buffers at rest'
  | 'changes its configuration at rest'
  | 'tells a change at rest'
  | 'forgets to tell a change'
  | 'keeps DRIVER_OK'
  | 'never runs again'
  | 'rests with a buffer in processing'
  | 'defers its interrupts'
  | 'zeroes the status'
  | 'suspends without negotiation'
  | 'offers bit 42'
  | 'uses a buffer twice'
  | 'resumes without a look at its queue'
  | 'shows a suspend that failed as one that is done'
  | 'suspends though nobody asks'
  | 'runs again though nobody asks';

/** Its configuration space: a value of 32 bits, and a byte that the driver may write. */
export const TwinConfig = { VALUE: 0, KNOB: 4 } as const;

/**
 * A whole device in a hundred lines, lawful but for one fault; with nothing of `src/device`, so that what it does is plain to
 * see. It answers requests at once, or when it is suspended if it is told to hold them. Says to `tell` what only it knows.
 */
export class TwinDevice implements DriverTransport {
  /** That of a type without features of its own. */
  readonly deviceId: number = 18;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  tell: (event: TraceEvent) => void = () => {};
  /** Requests stay in processing until a suspend. */
  holds = false;
  layout: QueueLayout | undefined;

  readonly #memory: GuestMemory;
  readonly #fault: DeviceFault | undefined;
  #queue: SplitDeviceQueue | undefined;
  #status = 0;
  #accepted: FeatureSet = 0n;
  #value = 1;
  #nextValue: number | undefined;
  #knob = 0;
  #held: Chain[] = [];
  #owesInterrupt = false;

  constructor(memory: GuestMemory, fault?: DeviceFault) {
    this.#memory = memory;
    this.#fault = fault;
  }

  readStatus(): number {
    return this.#status;
  }

  writeStatus(value: number): void {
    const status = this.#status;
    if (value === 0) this.#reset();
    else if ((status & DEVICE_NEEDS_RESET) !== 0) return;
    else if ((status & (DRIVER_OK | SUSPEND)) === 0) this.#initialize(value);
    else if ((status & DRIVER_OK) !== 0 && (value & SUSPEND) !== 0) this.#suspend();
    else if ((status & DRIVER_OK) === 0 && (value & DRIVER_OK) !== 0) this.#resume();
  }

  readFeatures(): FeatureSet {
    return featureSet(Feature.VERSION_1, Feature.SUSPEND, ...(this.#is('offers bit 42') ? [42] : []));
  }

  writeFeatures(features: FeatureSet): void {
    this.#accepted = features;
  }

  readQueueSize(index: number): number {
    return index === 0 ? 8 : 0;
  }

  enableQueue(_: number, layout: QueueLayout): void {
    this.layout = layout;
    this.#queue = new SplitDeviceQueue(this.#memory, layout, { indirect: false, eventIdx: false });
  }

  resetQueue(): void {
    this.#queue = undefined;
  }

  queueIsReset(): boolean {
    return this.#queue === undefined;
  }

  readConfigGeneration(): number {
    return this.#value;
  }

  readConfig(offset: number): number {
    return offset === TwinConfig.VALUE ? this.#value : this.#knob;
  }

  writeConfig(offset: number, _: number, value: number): void {
    if (this.#rests && !this.#is('takes configuration writes at rest')) return;
    if (offset === TwinConfig.KNOB) this.#knob = value;
  }

  kick(): void {
    if (!this.#rests) this.#serve();
    const isRunning = (this.#status & (SUSPEND | DRIVER_OK)) === DRIVER_OK;
    if (isRunning && this.#is('suspends though nobody asks')) this.#show((this.#status | SUSPEND) & ~DRIVER_OK);
  }

  /** What is behind the device has changed. */
  change(value: number): void {
    if (this.#is('runs again though nobody asks')) this.#show((this.#status | DRIVER_OK) & ~SUSPEND);
    this.tell({ kind: 'config.changed' });
    if (!this.#rests || this.#is('changes its configuration at rest')) this.#value = value;
    if (!this.#rests || this.#is('tells a change at rest')) this.#interruptForConfig();
    if (this.#rests) this.#nextValue = value;
  }

  get #rests(): boolean {
    return (this.#status & (SUSPEND | DRIVER_OK)) === SUSPEND;
  }

  #is(fault: DeviceFault): boolean {
    return this.#fault === fault;
  }

  #reset(): void {
    this.#queue = this.layout = this.#nextValue = undefined;
    this.#held = [];
    this.#show(0);
  }

  #initialize(value: number): void {
    const early = this.#is('shows SUSPEND before DRIVER_OK') ? SUSPEND : 0;
    this.#show(this.#status | (value & (0x03 | FEATURES_OK | DRIVER_OK | early)));
  }

  #suspend(): void {
    if (!hasFeature(this.#accepted, Feature.SUSPEND) && !this.#is('suspends without negotiation')) return;
    this.#show(this.#status | SUSPEND);
    if (!this.#is('rests with a buffer in processing')) this.#finish();
    if (this.#is('keeps DRIVER_OK')) return;
    if (this.#is('shows a suspend that failed as one that is done')) {
      this.#show((this.#status | DEVICE_NEEDS_RESET) & ~DRIVER_OK);
      return;
    }
    this.#show(this.#is('zeroes the status') ? SUSPEND : this.#status & ~DRIVER_OK);
    if (this.#is('interrupts at rest')) this.#interrupt();
    if (this.#is('uses buffers at rest')) this.#serve();
  }

  #resume(): void {
    if (this.#is('never runs again')) return;
    this.#show((this.#status & ~SUSPEND) | DRIVER_OK);
    if (this.#owesInterrupt) this.#interrupt();
    if (this.#nextValue !== undefined) {
      this.#value = this.#nextValue;
      if (!this.#is('forgets to tell a change')) this.#interruptForConfig();
    }
    this.#nextValue = undefined;
    this.#finish();
    if (!this.#is('resumes without a look at its queue')) this.#serve();
  }

  #serve(): void {
    for (let chain = this.#queue?.take(); chain !== undefined; chain = this.#queue?.take()) {
      this.tell({ kind: 'buffer.taken', queue: 0, id: chain.id });
      this.#held.push(chain);
    }
    if (!this.holds) this.#finish();
  }

  #finish(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#held.length === 0) return;
    for (const chain of this.#held.splice(0)) {
      queue.complete(chain, 0);
      queue.publish();
      if (this.#is('uses a buffer twice')) this.#repeatLastUsed();
    }
    const isSuspending = (this.#status & (SUSPEND | DRIVER_OK)) === (SUSPEND | DRIVER_OK);
    if (isSuspending && this.#is('defers its interrupts')) this.#owesInterrupt = true;
    else if (!this.#rests) this.#interrupt();
  }

  /** Writes the last used entry once more, past our own queue, which would not do that. */
  #repeatLastUsed(): void {
    const { deviceArea, size } = this.layout!;
    const region = this.#memory.find(deviceArea, 4)!;
    const index = region.view.getUint16(deviceArea + 2, true);
    const entry = (at: number): number => deviceArea + 4 + 8 * (at % size);
    region.bytes.copyWithin(entry(index), entry(index - 1), entry(index - 1) + 8);
    region.view.setUint16(deviceArea + 2, index + 1, true);
  }

  #interrupt(): void {
    this.#owesInterrupt = false;
    this.tell({ kind: 'interrupt', cause: 'used', queue: 0 });
    this.onUsedBuffer?.();
  }

  #interruptForConfig(): void {
    this.tell({ kind: 'interrupt', cause: 'config' });
    this.onConfigChange?.();
  }

  #show(status: number): void {
    this.#status = status;
    this.tell({ kind: 'status.shown', value: status });
  }
}
