/** Devices of ours with one planted fault each, for what is run against whole devices over any transport. */
import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import type { DevicePort, DeviceType } from '../../src/device/device-type.ts';
import type { DeviceObserver, DeviceTransport } from '../../src/device/transport.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { Chain } from '../../src/queue/chain.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';
import { repeatLastUsed } from './repeated-use.ts';
import type { DeviceFault } from './twin-device.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;
const RUNNING = 0x0f;
const SUSPEND_IN_WORD = 1 << (Feature.SUSPEND - 32);

/** What a fault has to do with the type of the device. */
interface TypeFault {
  process(process: () => void): void;
  complete(complete: () => void): void;
  configChanged(tell: () => void): void;
}

export function faultyDevice(
  fault: DeviceFault,
): (type: DeviceType, memory: GuestMemory, options?: DeviceOptions) => Device {
  return (type, memory, options) => {
    const faults: { now?: TypeFault } = {};
    const device = new FaultyDevice(fault, faultyType(type, faults), memory, options);
    faults.now = device.ofType;
    return device;
  };
}

/** A type whose calls go past a fault. */
function faultyType(type: DeviceType, faults: { readonly now?: TypeFault }): DeviceType {
  const portOf = (port: DevicePort): DevicePort => ({
    ...port,
    complete: (queue, chain, written) => faults.now!.complete(() => port.complete(queue, chain, written)),
    configChanged: () => faults.now!.configChanged(() => port.configChanged()),
  });
  return new Proxy(type, {
    get: (target, name) => {
      if (name === 'attach') return (port: DevicePort) => target.attach(portOf(port));
      if (name === 'process' && target.process !== undefined) {
        return (queue: number, chain: Chain) => faults.now!.process(() => target.process!(queue, chain));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

class FaultyDevice extends Device {
  readonly #fault: DeviceFault;
  readonly #memory: GuestMemory;
  #observer: DeviceObserver | undefined;
  #transport: DeviceTransport | undefined;
  /** SUSPEND was written before DRIVER_OK. */
  #isEarly = false;
  /** Bytes that were written to the configuration at rest, by offset. */
  readonly #written: Map<number, number> = new Map();
  #owesChange = false;
  readonly #owed: Set<number> = new Set();
  /** It says that it rests, and does not. */
  #pretends = false;
  /** It says that it runs, and rests. */
  #isAwake = false;
  /** It was told to suspend, and not to resume since. */
  #isAsked = false;
  /** What the type has ended meanwhile. */
  readonly #ended: (() => void)[] = [];
  /** What was taken and is not processed before a kick. */
  #unseen: (() => void)[] | undefined;

  constructor(fault: DeviceFault, type: DeviceType, memory: GuestMemory, options?: DeviceOptions) {
    super(type, memory, options);
    this.#fault = fault;
    this.#memory = memory;
    if (fault === 'offers bit 42') Object.assign(this, { offered: this.offered | (1n << 42n) });
    Object.defineProperty(this, 'observer', {
      get: () => this.#observer,
      set: (observer: DeviceObserver | undefined) => {
        this.#observer = observer && this.#observed(observer);
      },
    });
    Object.defineProperty(this, 'transport', {
      get: () => this.#transport,
      set: (transport: DeviceTransport | undefined) => {
        this.#transport = transport && this.#connected(transport);
      },
    });
  }

  get ofType(): TypeFault {
    return {
      process: (process) => {
        if (this.#unseen === undefined) process();
        else this.#unseen.push(process);
      },
      complete: (complete) => {
        if (this.#pretends) this.#ended.push(complete);
        else complete();
      },
      configChanged: (tell) => {
        this.#owesChange = this.frozen;
        tell();
        if (!this.#is('tells a change at rest') || !this.frozen) return;
        this.observer?.configNotified?.();
        this.transport?.configChange();
      },
    };
  }

  override get status(): number {
    const status = this.#own;
    const rests = (status & (SUSPEND | DRIVER_OK)) === SUSPEND;
    if (this.#is('keeps DRIVER_OK') && rests) return status | DRIVER_OK;
    if (this.#is('zeroes the status') && rests && (status & DEVICE_NEEDS_RESET) === 0) return SUSPEND;
    if (this.#isEarly && (status & (SUSPEND | DRIVER_OK)) === 0) return status | SUSPEND;
    const hidesFailure =
      this.#isAsked && (status & (DEVICE_NEEDS_RESET | DRIVER_OK)) === (DEVICE_NEEDS_RESET | DRIVER_OK);
    if (this.#pretends || (hidesFailure && this.#is('shows a suspend that failed as one that is done')))
      return (status & ~DRIVER_OK) | SUSPEND;
    return this.#isAwake && rests ? (status & ~SUSPEND) | DRIVER_OK : status;
  }

  override writeStatus(value: number): void {
    if (value === 0) this.#forget();
    const isLive = value !== 0 && (value & FAILED) === 0;
    if (this.#is('shows SUSPEND before DRIVER_OK')) this.#isEarly ||= isLive && (value & SUSPEND) !== 0;
    if (isLive && this.#is('never runs again') && this.frozen) return;
    if (isLive && this.#pretend(value)) return;
    if (isLive) this.#isAsked = this.#own === RUNNING && (value & SUSPEND) !== 0;
    if (isLive && this.#is('resumes without a look at its queue') && this.frozen) this.#unseen = [];
    super.writeStatus(value);
  }

  override writeFeatures(word: number, bits: number): void {
    const also = this.#is('suspends without negotiation') && word === 1 ? SUSPEND_IN_WORD : 0;
    super.writeFeatures(word, bits | also);
  }

  override kick(index: number): void {
    for (const process of this.#unseen?.splice(0) ?? []) process();
    this.#unseen = undefined;
    if (this.#pretends) return;
    super.kick(index);
    if (this.frozen && this.#is('uses buffers at rest')) this.#serve();
    const canSuspend = this.#own === RUNNING && hasFeature(this.accepted, Feature.SUSPEND);
    if (canSuspend && this.#is('suspends though nobody asks')) this.#say('that it rests');
    if (this.frozen && this.#is('runs again though nobody asks')) this.#say('that it runs');
  }

  /** Shows another status than its own. */
  #say(what: 'that it rests' | 'that it runs'): void {
    if (what === 'that it rests') this.#pretends = true;
    else this.#isAwake = true;
    this.#observer?.statusShown?.(this.status);
  }

  override readConfig(offset: number, width: number): number {
    const own = super.readConfig(offset, width);
    const now = this.#is('changes its configuration at rest') && this.frozen ? this.type.config() : undefined;
    let value = 0;
    for (let at = width - 1; at >= 0; at--) {
      const byte = this.#written.get(offset + at) ?? now?.[offset + at] ?? Math.floor(own / 256 ** at) & 0xff;
      value = value * 256 + byte;
    }
    return value;
  }

  override writeConfig(offset: number, width: number, value: number): void {
    super.writeConfig(offset, width, value);
    if (!this.#is('takes configuration writes at rest') || !this.frozen) return;
    for (let at = 0; at < width; at++) this.#written.set(offset + at, Math.floor(value / 256 ** at) & 0xff);
  }

  /** What a device without the fault shows. */
  get #own(): number {
    return super.status;
  }

  #is(fault: DeviceFault): boolean {
    return this.#fault === fault;
  }

  #forget(): void {
    this.#isEarly = this.#owesChange = this.#pretends = this.#isAwake = this.#isAsked = false;
    this.#written.clear();
    this.#owed.clear();
    this.#unseen = undefined;
    for (const complete of this.#ended.splice(0)) complete();
  }

  /** Rests at once when it is told to, with whatever is in processing, and goes on later. Whether that is all that there is to do. */
  #pretend(value: number): boolean {
    if (this.#pretends && (value & DRIVER_OK) !== 0) {
      this.#pretends = false;
      this.#observer?.statusShown?.(this.status);
      for (const complete of this.#ended.splice(0)) complete();
      for (const queue of this.queues.keys()) super.kick(queue);
      return true;
    }
    const isTold = this.#is('rests with a buffer in processing') && (value & SUSPEND) !== 0 && this.inFlight > 0;
    if (!this.#pretends && isTold) this.#say('that it rests');
    return this.#pretends;
  }

  #observed(observer: DeviceObserver): DeviceObserver {
    return {
      ...observer,
      statusShown: (status) => {
        observer.statusShown?.(status);
        this.#shown();
      },
      usedNotified: (queue) => {
        if (this.#is('uses a buffer twice') && this.inFlight === 0) repeatLastUsed(this, this.#memory, queue);
        if (!this.#silences) observer.usedNotified?.(queue);
      },
      configNotified: () => {
        if (!this.#forgets) observer.configNotified?.();
      },
    };
  }

  #connected(transport: DeviceTransport): DeviceTransport {
    return {
      usedBuffer: (queue) => {
        if (this.#silences) this.#owed.add(queue);
        else transport.usedBuffer(queue);
      },
      configChange: () => {
        if (this.#forgets) this.#owesChange = false;
        else transport.configChange();
      },
      reset: () => transport.reset(),
    };
  }

  get #silences(): boolean {
    const status = this.#own;
    const isSuspending = (status & (SUSPEND | DRIVER_OK)) === (SUSPEND | DRIVER_OK);
    if (this.#is('defers its interrupts')) return isSuspending;
    return this.#is('uses buffers at rest') && this.frozen;
  }

  get #forgets(): boolean {
    return this.#is('forgets to tell a change') && this.#owesChange && !this.frozen;
  }

  /** The status that is shown has changed. */
  #shown(): void {
    const pair = this.#own & (SUSPEND | DRIVER_OK);
    if (pair === SUSPEND && this.#isAsked && this.#is('interrupts at rest')) this.#notify(0);
    if (pair === SUSPEND && this.#is('uses buffers at rest')) this.#serve();
    if (pair !== DRIVER_OK) return;
    for (const queue of [...this.#owed]) {
      this.#owed.delete(queue);
      this.#notify(queue);
    }
  }

  #notify(queue: number): void {
    this.observer?.usedNotified?.(queue);
    this.transport?.usedBuffer(queue);
  }

  /** Takes what waits in the first queue. */
  #serve(): void {
    const { queue, onDemand } = this.queues[0]!;
    if (onDemand) return;
    try {
      for (let chain = queue?.take(); chain !== undefined; chain = queue?.take()) this.type.process?.(0, chain);
    } catch (error) {
      this.fail(error);
    }
  }
}
