import { type Clock, systemClock } from '../device/clock.ts';
import type { GuestAllocator } from '../memory/allocator.ts';
import type { AccessWidth } from '../spec/access-width.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import { Feature, type FeatureSet, featureSet, hasFeature } from '../spec/features.ts';
import { Status } from '../spec/status.ts';
import { type AbortSignalLike, throwIfAborted } from './abort-signal.ts';
import { type ConfigField, readConfigFields } from './config-fields.ts';
import { DriverQueues } from './driver-queues.ts';
import type { DriverType } from './driver-type.ts';
import { Life } from './life.ts';
import type { RequestQueue } from './request-queue.ts';
import {
  asError,
  faultOf,
  isRunning,
  isSuspended,
  type StatusWait,
  StatusWaitError,
  waitForStatus,
} from './status-wait.ts';
import type { DriverTransport } from './transport.ts';

export interface DriverOptions {
  /** Feature bits not to accept. */
  readonly decline?: readonly number[];
  /** Entries of each queue at most, a power of two unless the queues are packed. 256. */
  readonly queueSize?: number;
  /** How long initialisation may wait for the device's reset. 10 s. */
  readonly resetLimitMs?: number;
  readonly clock?: Clock;
}

export interface TransitionOptions {
  /** How long the device may take; after that it is given up. 10 s. */
  readonly limitMs?: number;
  readonly signal?: AbortSignalLike;
}

export interface QueueResetOptions {
  /** Entries of the queue from now on. As many as before. */
  readonly size?: number;
  /** How long the device may take; after that it is given up. 10 s. */
  readonly limitMs?: number;
}

export type DriverState = 'reset' | 'running' | 'suspending' | 'suspended' | 'resuming' | 'failed';

const GENERIC: FeatureSet = featureSet(
  Feature.INDIRECT_DESC,
  Feature.EVENT_IDX,
  Feature.VERSION_1,
  Feature.RING_PACKED,
  Feature.IN_ORDER,
  Feature.NOTIFICATION_DATA,
  Feature.NOTIF_CONFIG_DATA,
  Feature.RING_RESET,
  Feature.SUSPEND,
);
const DEFAULT_LIMIT_MS = 10_000;
/** What a register reads as when there is no device behind it. */
const GONE = 0xff;

/**
 * The driver end that all device types share: initialisation (§3.1), requests, suspend and resume (§3.4), and what to do
 * when the device fails or lies. Not a word of the device is believed: a lie rejects the requests with the rule it broke.
 */
export class Driver {
  readonly transport: DriverTransport;
  readonly allocator: GuestAllocator;
  /** Called when the driver lost its device; every request was rejected with the same error, but for an earlier reset's. */
  onFailed: ((error: Error) => void) | undefined;

  readonly #type: DriverType;
  readonly #options: DriverOptions;
  readonly #clock: Clock;
  readonly #queues: DriverQueues;
  #state: DriverState = 'reset';
  #features: FeatureSet = 0n;
  #life = new Life();
  /** Why the requests that are out will be rejected: the first reason since they were made. */
  #lossReason: Error | undefined;
  #resetting: Promise<void> | undefined;

  constructor(type: DriverType, transport: DriverTransport, allocator: GuestAllocator, options: DriverOptions = {}) {
    this.#type = type;
    this.transport = transport;
    this.allocator = allocator;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#queues = new DriverQueues(transport, allocator);
  }

  get state(): DriverState {
    return this.#state;
  }

  /** What was negotiated. */
  get features(): FeatureSet {
    return this.#features;
  }

  get queues(): readonly RequestQueue[] {
    return this.#queues.list;
  }

  /** Throws StateError unless requests are taken now. Called before anything is touched. */
  requireRunning(what: string): void {
    if (this.#state === 'running') return;
    const advice: Record<DriverState, string> = {
      reset: 'the device is not initialised: call initialize() first',
      running: '',
      suspending: 'the device is being suspended: wait for suspend(), then call resume()',
      suspended: 'the device is suspended: call resume() first',
      resuming: 'the device is being resumed: wait for resume()',
      failed: 'the device failed: call initialize() to start again',
    };
    throw new StateError(`${what}: ${advice[this.#state]}`);
  }

  /**
   * Resets the device and sets it up (§3.1.1). Requests that were out are rejected. Rejects when the device does not suit,
   * and when a reset or another initialisation comes meanwhile.
   */
  async initialize(): Promise<void> {
    if (this.transport.deviceId !== this.#type.deviceId) {
      throw new RangeError(
        `this driver is for device id ${this.#type.deviceId}, the device has ${this.transport.deviceId}`,
      );
    }
    const life = this.#endLife(resetByDriver(), 'reset');
    await this.#resetDevice();
    life.check();
    try {
      await this.#negotiate(life);
      const count = await this.#type.queueCount(this.#features);
      life.check();
      await this.#queues.setUp(count, this.#options.queueSize ?? 256, this.#features, life);
      this.transport.onUsedBuffer = () => this.#usedBufferInterrupt();
      this.transport.onConfigChange = () => void this.#configInterrupt();
      this.transport.onLost = (error) => void this.#giveUp(error);
      await this.#addStatus(Status.DRIVER_OK, life);
      // A device that fails over what it was set up with says so now; its interrupt may have come before anybody listened.
      const fault = faultOf(await this.transport.readStatus(), 'initialize');
      life.check();
      if (fault !== undefined) throw fault;
      this.#state = 'running';
    } catch (error) {
      life.check();
      const failed = this.#endLife(asError(error), 'failed');
      this.#abandon();
      await this.#addStatus(Status.FAILED, failed).catch(() => {});
      throw error;
    }
  }

  /**
   * Resets the device; requests that are out are rejected with `reason`, when the device no longer touches their memory. Ends
   * whatever is under way: an initialisation, a suspend, a resume reject with `reason`.
   */
  async reset(reason: Error = resetByDriver()): Promise<void> {
    this.#endLife(reason, 'reset');
    await this.#resetDevice();
  }

  /**
   * Suspends the device (§3.4.1); resolves when it is at rest. Requests that are out may still come back until then; those
   * that do not stay with the device and come back after `resume`. New ones are refused.
   *
   * Refused with StateError without VIRTIO_F_SUSPEND, unless running, and while a queue is being reset. When the device fails or does not finish within
   * the limit, it is reset, every request is rejected, and so is this promise. A suspend cannot be cancelled: after an
   * abort the driver waits for its end, resumes the device, and then rejects with the signal's reason.
   */
  async suspend(options: TransitionOptions = {}): Promise<void> {
    this.requireRunning('suspend');
    if (!hasFeature(this.#features, Feature.SUSPEND)) {
      throw new StateError('suspend: the device does not offer VIRTIO_F_SUSPEND; reset it instead');
    }
    this.#requireNoQueueReset('suspend');
    throwIfAborted(options.signal);
    this.#state = 'suspending';
    this.#queues.hold();
    const limitMs = options.limitMs ?? DEFAULT_LIMIT_MS;
    const life = this.#life;
    await this.#transition(Status.SUSPEND, { what: 'suspend', limitMs, reached: isSuspended });
    life.check();
    this.#state = 'suspended';
    if (options.signal?.aborted === true) await this.resume({ limitMs });
    throwIfAborted(options.signal);
  }

  /**
   * Resumes a suspended device (§3.4.1); resolves when it runs. Requests that were out go on. When the device fails, lost
   * its state, does not finish within the limit, or the signal aborts, it is reset, every request is rejected, and so is
   * this promise; `initialize` then starts anew.
   */
  async resume(options: TransitionOptions = {}): Promise<void> {
    if (this.#state !== 'suspended') throw new StateError(`resume: the driver is ${this.#state}, not suspended`);
    throwIfAborted(options.signal);
    this.#state = 'resuming';
    const { limitMs = DEFAULT_LIMIT_MS, signal } = options;
    const life = this.#life;
    await this.#transition(Status.DRIVER_OK, { what: 'resume', limitMs, signal, reached: isRunning });
    life.check();
    this.#state = 'running';
    this.#queues.letGo();
    this.#type.configChanged?.();
  }

  /**
   * Resets one queue and sets it up anew (§2.6.1), while the others go on; resolves when it is in use again. Requests that
   * the device had are rejected, when it no longer touches their memory; those that waited for room, and new ones, go on
   * after it. The memory of the new rings is taken before that of the old ones is given back. What a type's driver keeps in a
   * queue for the device to fill, as for input, is not offered anew.
   *
   * Refused, with nothing touched, with StateError without VIRTIO_F_RING_RESET, unless running, and while a queue is being
   * reset; with RangeError for a queue or a size that there is not. When the device fails or does not finish within the
   * limit, it is reset, every request is rejected, and so is this promise.
   */
  async resetQueue(index: number, options: QueueResetOptions = {}): Promise<void> {
    this.requireRunning('resetQueue');
    if (!hasFeature(this.#features, Feature.RING_RESET)) {
      throw new StateError('resetQueue: the device does not offer VIRTIO_F_RING_RESET; reset it instead');
    }
    this.#requireNoQueueReset('resetQueue');
    const life = this.#life;
    const next = this.#queues.makeNext(index, options.size, this.#features);
    const check = (): void => life.check();
    const { limitMs = DEFAULT_LIMIT_MS } = options;
    const wait = { what: `reset of queue ${index}`, limitMs, reached: () => this.transport.queueIsReset(index), check };
    life.queueInReset = index;
    try {
      await this.#queues.replace(index, next, life, () => waitForStatus(this.transport, this.#clock, wait));
    } catch (error) {
      life.check();
      await this.#giveUp(asError(error));
      throw error;
    }
    life.queueInReset = undefined;
  }

  /** The values of these fields of the configuration space; see `readConfigFields`. */
  readConfig<Name extends string>(
    fields: Readonly<Record<Name, ConfigField>>,
  ): Promise<Readonly<Record<Name, number>>> {
    return readConfigFields(this.transport, this.#features, fields);
  }

  /** Writes one field of the configuration space. */
  async writeConfig({ offset, bytes }: ConfigField & { readonly bytes: AccessWidth }, value: number): Promise<void> {
    this.requireRunning('writeConfig');
    await this.transport.writeConfig(offset, bytes, value);
  }

  #requireNoQueueReset(what: string): void {
    const { queueInReset } = this.#life;
    if (queueInReset !== undefined) throw new StateError(`${what}: wait for the reset of queue ${queueInReset}`);
  }

  async #negotiate(life: Life): Promise<void> {
    await this.#addStatus(Status.ACKNOWLEDGE, life);
    // Reset behind us, it would not know ACKNOWLEDGE, and nothing later would tell.
    await this.#addStatus(Status.DRIVER, life, 'initialize');
    const wanted = (GENERIC | this.#type.features) & ~featureSet(...(this.#options.decline ?? []));
    const offered = await this.transport.readFeatures();
    life.check();
    this.#features = offered & wanted;
    if (!hasFeature(this.#features, Feature.VERSION_1)) {
      throw new ProtocolError('features.device.reserved.1', 'the device does not offer VIRTIO_F_VERSION_1');
    }
    await this.transport.writeFeatures(this.#features);
    await this.#addStatus(Status.FEATURES_OK, life);
    const status = await this.transport.readStatus();
    life.check();
    if ((status & Status.FEATURES_OK) === 0) {
      throw new ProtocolError(
        'features.device.2',
        `the device refuses features 0x${this.#features.toString(16)}, which it offers`,
      );
    }
  }

  /**
   * Bits are added, never taken away (§2.1.1). Throws when `life` has ended, and when the device is gone; with `what`, a
   * request of a device that has to be all right for it, also when it is not.
   */
  async #addStatus(bits: number, life: Life, what?: string): Promise<void> {
    const status = await this.transport.readStatus();
    life.check();
    const fault = what !== undefined || status === GONE ? faultOf(status, what ?? 'status') : undefined;
    if (fault !== undefined) throw fault;
    await this.transport.writeStatus(status | bits);
    life.check();
  }

  /** Asks for a suspend or a resume, once, and waits for it; a device that does not do it is given up. */
  async #transition(bit: number, wait: StatusWait): Promise<void> {
    const life = this.#life;
    try {
      await this.#addStatus(bit, life, wait.what);
      await waitForStatus(this.transport, this.#clock, { ...wait, check: () => life.check() });
      life.check();
      // Suspended, the used rings are final: what was completed is handed back before anybody saves this memory.
      this.#queues.collect();
    } catch (error) {
      life.check();
      await this.#giveUp(asError(error));
      throw error instanceof StatusWaitError && error.fault === 'aborted' ? error.cause : error;
    }
  }

  #usedBufferInterrupt(): void {
    if (this.#state === 'reset' || this.#state === 'failed' || this.#state === 'suspended') return;
    try {
      this.#queues.collect();
    } catch (error) {
      void this.#giveUp(asError(error));
    }
  }

  async #configInterrupt(): Promise<void> {
    const life = this.#life;
    try {
      const fault = faultOf(await this.transport.readStatus(), 'configuration change');
      if (life.ended || this.#state !== 'running') return;
      if (fault !== undefined) await this.#giveUp(fault);
      else this.#type.configChanged?.();
    } catch (error) {
      if (!life.ended) await this.#giveUp(asError(error));
    }
  }

  /** The device is of no use any more: tell it so, reset it, and reject every request. Does not reject. */
  async #giveUp(error: Error): Promise<void> {
    if (this.#state === 'failed' || (this.#state === 'reset' && this.#queues.list.length === 0)) return;
    const life = this.#endLife(error, 'failed');
    try {
      const answers = !(error instanceof StatusWaitError) || error.fault === 'limit' || error.fault === 'aborted';
      if (answers) await this.#addStatus(Status.FAILED, life);
      await this.#resetDevice();
    } catch {
      // The device does not even reset: it may still write to the rings, whose memory is kept until one succeeds.
      if (!life.ended) this.#abandon();
    }
    this.onFailed?.(error);
  }

  /** Ends what was begun, for `reason`. The rings are left alone from now on. */
  #endLife(reason: Error, state: 'reset' | 'failed'): Life {
    this.#life.end(reason);
    this.#life = new Life();
    this.#lossReason ??= reason;
    this.#state = state;
    this.#queues.hold();
    return this.#life;
  }

  /** One reset serves all who ask for one while it is waited for. */
  #resetDevice(): Promise<void> {
    this.#resetting ??= this.#untilReset().finally(() => {
      this.#resetting = undefined;
    });
    return this.#resetting;
  }

  async #untilReset(): Promise<void> {
    await this.transport.writeStatus(0);
    const end = this.#clock.now() + (this.#options.resetLimitMs ?? DEFAULT_LIMIT_MS);
    while ((await this.transport.readStatus()) !== 0) {
      if (this.#clock.now() >= end) throw new StateError('the device does not end its reset');
      await new Promise<void>((resolve) => this.#clock.after(1, resolve));
    }
    this.#abandon();
    this.#queues.release();
  }

  /** Every request is lost. */
  #abandon(): void {
    const reason = this.#lossReason ?? resetByDriver();
    this.#lossReason = undefined;
    this.#queues.abandon(reason);
  }
}

function resetByDriver(): StateError {
  return new StateError('the device was reset by its driver');
}
