import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Chain } from '../queue/chain.ts';
import type { QueueState } from '../queue/device-queue.ts';
import { StateError } from '../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import { Status } from '../spec/status.ts';
import { systemClock } from './clock.ts';
import { ConfigSpace } from './config-space.ts';
import type { DeviceOptions } from './device-options.ts';
import { DeviceQueues, type DeviceQueuesHooks, type QueueService } from './device-queues.ts';
import type { DevicePort, DeviceType } from './device-type.ts';
import { offeredFeatures, refuseFeatures } from './negotiation.ts';
import type { QueueSlot } from './queue-slot.ts';
import { Quiet } from './quiet.ts';
import { type DeviceBody, ownersOf, queueInUse, type SavedDevice, sealDevice, unsealFor } from './saved-device.ts';
import { StatusMachine } from './status-machine.ts';
import type { DeviceObserver, DeviceTransport } from './transport.ts';

/**
 * A virtio device: what all device types share. A transport shows its registers and calls the methods for them; a device type
 * says what to do with a buffer. All between the two is here: status, features, queues, notifications, configuration, rest, state.
 *
 * A driver's mistake is caught here, in one place, and ends in DEVICE_NEEDS_RESET (§2.1.2).
 */
export class Device {
  readonly type: DeviceType;
  readonly offered: FeatureSet;
  /** For hosts that look at queues without being kicked, and for those that stop single ones. */
  readonly service: QueueService;
  /** Set by the transport. */
  transport: DeviceTransport | undefined;
  observer: DeviceObserver | undefined;

  readonly #queues: DeviceQueues;
  readonly #suspendLimitMs: number;
  readonly #status = new StatusMachine();
  readonly #config: ConfigSpace;
  readonly #quiet: Quiet;
  #accepted: FeatureSet = 0n;
  /** Buffers are taken: running, not held, nothing of a former life in flight. Kept up to date by `#update`. */
  #serving = false;
  #failure: Error | undefined;

  constructor(type: DeviceType, memory: GuestMemory, options: DeviceOptions = {}) {
    this.type = type;
    this.offered = offeredFeatures(type, options);
    const clock = options.clock ?? systemClock;
    this.service = this.#queues = new DeviceQueues(type.queues, memory, this.#hooks(), { ...options, clock });
    this.#suspendLimitMs = options.suspendLimitMs ?? 5000;
    type.attach(this.#port());
    this.#config = new ConfigSpace(() => type.config(), {
      frozen: () => this.#quiet.reached || this.frozen,
      live: () => (this.status & Status.DRIVER_OK) !== 0,
      held: () => this.paused && this.#quiet.reached,
      notify: () => {
        this.observer?.configNotified?.();
        this.transport?.configChange();
      },
    });
    this.#quiet = new Quiet(
      {
        busy: () => this.#queues.busy,
        stop: () => type.quiesce?.(),
        start: () => type.wake?.(),
        opened: () => this.#opened(),
        startFailed: (error) => this.fail(error),
      },
      clock,
    );
  }

  // ---- Registers, for transports ----

  /** Device status (§2.1). Reading has no effect. */
  get status(): number {
    return this.#status.shown;
  }

  /** The driver's features, as far as it has written them. */
  get accepted(): FeatureSet {
    return this.#accepted;
  }

  writeStatus(value: number): void {
    this.observer?.statusWritten?.(value);
    const before = this.#status.shown;
    const suspendNegotiated = hasFeature(this.#accepted, Feature.SUSPEND);
    const action = this.#status.write(value & 0xff, () => this.#featuresAcceptable(), suspendNegotiated);
    if (action !== 'reset' && this.#status.shown !== before) this.#shown();
    if (action === 'reset') this.reset();
    else if (action === 'start') this.#start();
    else if (action === 'suspend') this.#suspend();
    else if (action === 'resume') this.#quiet.release('suspend');
    else if (action === 'giveUp') this.#update();
  }

  /** Accepts 32 feature bits from bit 32 * `word` on. Has no effect after FEATURES_OK. */
  writeFeatures(word: number, bits: number): void {
    if ((this.#status.shown & Status.FEATURES_OK) !== 0 || word > 3) return;
    const shift = BigInt(word * 32);
    this.#accepted = (this.#accepted & ~(0xffff_ffffn << shift)) | (BigInt(bits >>> 0) << shift);
  }

  /** Changes the registers of a queue that is not enabled. Has no effect while suspended (§3.4.2), nor on a queue in use. */
  configureQueue(index: number, change: (slot: QueueSlot) => void): void {
    const slot = this.queues[index];
    if (slot !== undefined && !slot.enabled && !this.frozen) change(slot);
  }

  /** `positions` are those at which the queue was stopped; without them it is a new one. */
  enableQueue(index: number, positions?: QueueState): void {
    const slot = this.queues[index];
    if (slot === undefined || slot.enabled || this.frozen || (this.status & Status.FEATURES_OK) === 0) return;
    slot.enabled = true;
    const { state } = this.#status;
    if (state !== 'running' && state !== 'suspending') return;
    this.#queues.open(slot, this.#accepted, positions);
    this.#queues.drain(slot);
  }

  /** Resets one queue (§2.6.1), done when it returns; works while suspended too, when the queue is idle anyway. */
  resetQueue(index: number): void {
    const slot = this.queues[index];
    if (slot !== undefined) this.#queues.reset(slot);
  }

  /** Stops one queue (§4.2.2.2); its registers keep their values. */
  disableQueue(index: number): void {
    const slot = this.queues[index];
    if (slot !== undefined && !this.frozen) this.#queues.disable(slot);
  }

  /** The driver kicks a queue. One that does not exist, is not enabled or is held now is left for later. */
  kick(index: number): void {
    this.observer?.kicked?.(index);
    const slot = this.queues[index];
    if (slot !== undefined) this.#queues.drain(slot);
  }

  /** The registers of the queues; change them with `configureQueue` and `enableQueue`. */
  get queues(): readonly QueueSlot[] {
    return this.#queues.slots;
  }

  get configSize(): number {
    return this.#config.size;
  }

  get configGeneration(): number {
    return this.#config.generation;
  }

  readConfig(offset: number, width: number): number {
    return this.#config.read(offset, width);
  }

  /** Little-endian `value`; has no effect while suspended, and beyond the end. */
  writeConfig(offset: number, width: number, value: number): void {
    const held = this.frozen && this.type.alwaysWritable?.(offset, width) !== true;
    if (held || offset + width > this.#config.size) return;
    const bytes = Uint8Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** i) & 0xff);
    this.#guard(() => this.type.writeConfig?.(offset, bytes));
    if (!this.frozen) this.#config.refresh();
  }

  /** Configuration space and queue registers keep their values: suspended, or on the way out of it. */
  get frozen(): boolean {
    const { state } = this.#status;
    return state === 'suspended' || state === 'resuming';
  }

  // ---- For the host ----

  /** Chains in processing, those of a life before the last reset included. */
  get inFlight(): number {
    return this.#queues.inFlight;
  }

  /** Why the device is in DEVICE_NEEDS_RESET. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Held by the host; see `pause`. */
  get paused(): boolean {
    return this.#quiet.held('pause');
  }

  /** At rest, by suspend or pause: `save` may be called. */
  get isQuiet(): boolean {
    return this.#quiet.reached;
  }

  /**
   * The host's own quiet state, for drivers that know nothing of SUSPEND: no ring is touched, no interrupt comes, nothing is
   * in flight; the driver sees no change. Resolves when it is reached. Rejects with StateError, and lets go again, when what
   * is in processing does not end within `limitMs` (the suspend limit), when `continue` comes first, and when the device is
   * paused already; with the error of a back-end that does not stop.
   */
  pause(limitMs: number = this.#suspendLimitMs): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#quiet.request('pause', { limitMs, reached: resolve, failed: reject });
      this.#update();
    });
  }

  /** Ends a pause. Everything held back meanwhile is done now. */
  continue(): void {
    this.#quiet.release('pause', new StateError('pause: the device was let go before it had come to rest'));
  }

  /**
   * Calls `action` at rest, within this call where that can be, and goes on; for a transport that changes the memory. `failed` is
   * called instead when rest is not reached within the suspend limit, or the device is reset before.
   */
  atRest(action: () => void, failed: (error: Error) => void): void {
    this.#quiet.pass(this.#suspendLimitMs, action, failed);
    this.#update();
  }

  /** The state of a device at rest. Throws StateError when it is not at rest. */
  save(): SavedDevice {
    if (!this.#quiet.reached) {
      throw new StateError('a device is saved while it is suspended by its driver or paused by its host');
    }
    const saved = sealDevice(this, this.#status, this.#config);
    this.observer?.saved?.();
    return saved;
  }

  /**
   * Takes over a saved state, at rest as it was saved: a suspended device waits for its driver, a paused one for
   * `continue`. Guest memory has to be what it was. Throws StateError that says what differs, and changes nothing then.
   */
  restore(saved: unknown): void {
    if (this.#status.shown !== 0 || this.inFlight > 0 || this.paused) {
      throw new StateError('a state is restored into a device that was just made or reset');
    }
    const body = unsealFor(saved, this, (queue, accepted) =>
      this.#queues.make(queue, accepted, queue.positions ?? undefined),
    );
    this.type.restore?.(body.type ?? undefined, BigInt(`0x${body.accepted}`));
    this.#takeOver(body);
    this.observer?.restored?.();
    this.#shown();
  }

  /** Puts the device into DEVICE_NEEDS_RESET (§2.1.2) for `reason`, an Error as a rule. */
  fail(reason: unknown): void {
    if (this.#status.state === 'needsReset') {
      this.#config.tellOwed();
      return;
    }
    const error = reason instanceof Error ? reason : new Error(String(reason));
    this.#failure = error;
    this.#status.needReset();
    this.#queues.closeAll();
    this.#update();
    this.#shown();
    this.observer?.failed?.(error);
    // Shown without DRIVER_OK the driver has to poll: nothing is sent to a driver that believes the device suspended.
    this.#config.owe();
    this.#letGoOfSuspend();
  }

  /** The driver's reset by a status of 0, or the host's (power, FLR). Done when it returns, from any state. */
  reset(): void {
    this.#status.reset();
    this.#queues.closeAll();
    this.#update();
    for (const slot of this.queues) slot.reset();
    this.#accepted = 0n;
    this.#failure = undefined;
    this.#letGoOfSuspend();
    this.#quiet.release('transport', new StateError('the device was reset'));
    this.type.reset?.();
    this.#config.reset();
    this.transport?.reset();
    this.#shown();
    this.#quiet.restart();
  }

  #hooks(): DeviceQueuesHooks {
    return {
      serving: () => this.#serving,
      process: (queue, chain) => this.type.process?.(queue, chain),
      available: (queue) => this.type.available?.(queue),
      usedBuffer: (queue) => {
        this.observer?.usedNotified?.(queue);
        this.transport?.usedBuffer(queue);
      },
      ended: () => {
        this.#update();
        this.#quiet.settle();
      },
      failed: (error) => this.fail(error),
    };
  }

  #port(): DevicePort {
    return {
      complete: (queue, chain, written) => this.#queues.complete(this.queues[queue]!, chain, written),
      take: (queue) => this.#take(queue),
      giveBack: (queue, chain) => this.#queues.giveBack(this.queues[queue]!, chain),
      configChanged: () => this.#config.changed(),
      fail: (error) => this.fail(error),
    };
  }

  #take(queue: number): Chain | undefined {
    try {
      return this.#queues.take(this.queues[queue]!);
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  #featuresAcceptable(): boolean {
    const reason = refuseFeatures(this.#accepted, this.offered, (features) => this.type.refuse?.(features));
    if (reason !== undefined) {
      this.observer?.featuresRefused?.(reason);
      return false;
    }
    this.type.negotiated?.(this.#accepted);
    this.#config.refresh();
    return true;
  }

  #start(): void {
    for (const slot of this.queues)
      if (slot.enabled && this.#failure === undefined) this.#queues.open(slot, this.#accepted);
    this.#update();
    this.#queues.scan();
  }

  #suspend(): void {
    this.#update();
    this.#quiet.request('suspend', {
      limitMs: this.#suspendLimitMs,
      reached: () => {
        this.#status.suspended();
        this.#shown();
      },
      failed: (error) => this.fail(error),
    });
  }

  /** Nothing holds the device any more: what was held back is told, what waits in the rings is taken without a kick. */
  #opened(): void {
    this.#guard(() => {
      for (const slot of this.queues) slot.queue?.verify();
    });
    if (this.#status.state === 'resuming') {
      this.#status.resumed();
      this.#shown();
    }
    this.#update();
    this.#config.settle();
    this.#queues.scan();
  }

  #update(): void {
    this.#serving =
      this.#status.state === 'running' && !this.#status.failed && this.#quiet.open && this.#queues.orphans === 0;
  }

  #letGoOfSuspend(): void {
    // A device that failed while suspended stays at rest until it is reset.
    if (this.#status.state === 'needsReset' && this.#quiet.reached) return;
    this.#quiet.release('suspend');
  }

  #takeOver(body: DeviceBody): void {
    this.#accepted = BigInt(`0x${body.accepted}`);
    this.#status.restore(body.state, body.status);
    this.#failure = body.failure === null ? undefined : new Error(body.failure);
    this.#config.restore(body.config);
    for (const [index, slot] of this.queues.entries()) {
      const queue = body.queues[index]!;
      slot.restore(queue);
      if (queueInUse(body.state, queue)) this.#queues.open(slot, this.#accepted, queue.positions ?? undefined);
    }
    this.#quiet.restore(ownersOf(body));
    this.#update();
  }

  #shown(): void {
    this.observer?.statusShown?.(this.status);
  }

  /** The one place where a driver's mistake, or our own, ends in DEVICE_NEEDS_RESET. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }
}
