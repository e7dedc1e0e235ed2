import { Feature, type FeatureSet, hasFeature } from '../spec/features.ts';
import { Status } from '../spec/status.ts';
import { type QueuePlace, RingMemory } from './ring-memory.ts';
import type { BufferContents, Located, Role, TraceEvent, TraceHeader } from './trace.ts';

/**
 * Where one end is in its life.
 * - `unknown`: the trace began later.
 * - `reset`: its status is 0; for the device once it shows that, for the driver when it has written it.
 * - `resetting`: the device was told to reset, and does not show it yet.
 * - `initializing`: from ACKNOWLEDGE to DRIVER_OK.
 * - `running`, `suspending`, `suspended`, `resuming`: §3.4. The device by what it shows and was told to; the driver by what it
 *   has written, and has read since.
 * - `needsReset`: the device shows DEVICE_NEEDS_RESET. `failed`: the driver has written FAILED.
 */
export type Phase =
  | 'unknown'
  | 'resetting'
  | 'reset'
  | 'initializing'
  | 'running'
  | 'suspending'
  | 'suspended'
  | 'resuming'
  | 'needsReset'
  | 'failed';

const { DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

/** What is known of one connection at a point of its trace. Fed with every event in order. */
export class Session {
  readonly header: TraceHeader;
  /** The status that the device showed last; undefined while none is known. */
  shown: number | undefined;
  /** The status that the driver has read last. */
  seen: number | undefined;
  /** The status that the driver has written last. */
  written: number | undefined;
  /** The driver has read the status since it wrote it. */
  readBack = false;
  device: Phase = 'unknown';
  driver: Phase = 'unknown';
  /** The event that brought each end into its phase. */
  deviceSince: Located | undefined;
  driverSince: Located | undefined;
  /** What the device offers, as far as the driver has looked at it. */
  offered: FeatureSet = 0n;
  /** Bits of `offered` that are known. */
  offeredKnown: FeatureSet = 0n;
  /** What the driver has written as accepted. */
  accepted: FeatureSet = 0n;
  /** What was accepted when FEATURES_OK was written, unless the device refused it. */
  negotiated: FeatureSet = 0n;
  /** Queues that are enabled. */
  readonly queues: Set<number> = new Set();
  /** Where those queues are whose registers the trace has shown, and what is in their memory. */
  readonly places: Map<number, QueuePlace> = new Map();
  readonly memory: RingMemory = new RingMemory();
  /** How far the device has come in these queues by what is in their rings: what it will use next, as in `QueuePositions`. */
  readonly used: Map<number, number> = new Map();
  /** Bytes of the device's configuration space as the driver has seen them last, until they may have changed. */
  readonly #config: Map<number, number> = new Map();
  /** What is known to be in buffers that are out. */
  readonly #contents: Map<string, BufferContents> = new Map();

  constructor(header: TraceHeader) {
    this.header = header;
  }

  /** The status as the driver knows it: what the device makes of a write it has to read first. */
  get known(): number {
    return (this.readBack ? this.seen : this.written) ?? 0;
  }

  /** The driver has seen that its choice of features was refused. */
  get refused(): boolean {
    const asked = this.driver === 'initializing' && ((this.written ?? 0) & FEATURES_OK) !== 0;
    return asked && this.readBack && (this.known & FEATURES_OK) === 0;
  }

  has(feature: number): boolean {
    return hasFeature(this.negotiated, feature);
  }

  /** Whether the device's offer of a feature is known. */
  knows(feature: number): boolean {
    return hasFeature(this.offeredKnown, feature);
  }

  offers(feature: number): boolean {
    return hasFeature(this.offered, feature);
  }

  /** A field of the device's configuration space, if the driver knows it. */
  configured(offset: number, width: number): number | undefined {
    let value = 0;
    for (let at = width - 1; at >= 0; at--) {
      const byte = this.#config.get(offset + at);
      if (byte === undefined) return undefined;
      value = value * 0x100 + byte;
    }
    return value;
  }

  /** What was in a buffer when one end handed it over, until it was used; while a rule is told of the use it is still there. */
  contentsOf({ queue, id }: { readonly queue: number; readonly id: number }, by: Role): BufferContents | undefined {
    return this.#contents.get(`${queue}:${id}:${by}`);
  }

  /** Takes an event in. */
  follow(event: Located): void {
    const { device, driver } = this;
    this.#follow(event);
    if (this.device !== device) this.deviceSince = event;
    if (this.driver !== driver) this.driverSince = event;
  }

  #follow(event: TraceEvent): void {
    switch (event.kind) {
      case 'status.write':
        this.#write(event.value);
        return;
      case 'status.read':
        this.#show(event.value);
        this.#see(event.value);
        return;
      case 'status.shown':
        this.#show(event.value);
        return;
      case 'features.device':
        this.offered = replaceWord(this.offered, event.word, event.bits);
        this.offeredKnown = replaceWord(this.offeredKnown, event.word, 0xffff_ffff);
        return;
      case 'features.driver':
        this.accepted = replaceWord(this.accepted, event.word, event.bits);
        return;
      case 'config.read':
      case 'config.write':
        for (let at = 0; at < event.width; at++)
          this.#config.set(event.offset + at, Math.floor(event.value / 2 ** (8 * at)) % 0x100);
        return;
      case 'config.changed':
        this.#config.clear();
        return;
      case 'interrupt':
        if (event.cause === 'config') this.#config.clear();
        return;
      case 'queue.enable':
        this.queues.add(event.queue);
        return;
      case 'queue.reset':
        this.queues.delete(event.queue);
        for (const [key, { queue }] of this.#contents) if (queue === event.queue) this.#contents.delete(key);
        return;
      case 'buffer.contents':
        this.#contents.set(`${event.queue}:${event.id}:${event.by}`, event);
        return;
      case 'buffer.used':
        for (const by of ['driver', 'device']) this.#contents.delete(`${event.queue}:${event.id}:${by}`);
        return;
      case 'restored':
        this.accepted = this.negotiated = BigInt(`0x${event.features}`);
        this.device = phaseOf(event.status);
        this.shown = event.status;
        return;
    }
  }

  #write(value: number): void {
    const { known } = this;
    this.written = value;
    this.readBack = false;
    if (value === 0) this.#reset();
    else if ((value & FAILED) !== 0) this.driver = this.device = 'failed';
    else if (this.driver !== 'failed') this.#advance(value, known);
  }

  #advance(value: number, known: number): void {
    if (this.driver === 'unknown' || this.driver === 'reset') this.driver = 'initializing';
    if (this.device === 'unknown' || this.device === 'reset') this.device = 'initializing';
    if (this.driver === 'initializing') {
      this.#initialize(value, known);
      return;
    }
    const { device, driver } = this;
    const suspends = (value & SUSPEND) !== 0 && this.has(Feature.SUSPEND);
    const resumes = (value & DRIVER_OK) !== 0;
    // What the device does about a write depends on what it is by then, whether or not its driver has seen that.
    if (device === 'running' && suspends) this.device = 'suspending';
    else if (device === 'suspended' && resumes) this.device = 'resuming';
    if (driver === 'running' && suspends) this.driver = 'suspending';
    else if (resumes && (driver === 'suspended' || (driver === 'suspending' && device === 'suspended')))
      this.driver = 'resuming';
  }

  #initialize(value: number, known: number): void {
    // A choice that was refused is made anew.
    if ((value & FEATURES_OK) !== 0 && (known & FEATURES_OK) === 0) this.negotiated = this.accepted;
    if ((value & DRIVER_OK) === 0) return;
    this.driver = 'running';
    if (this.device === 'initializing') this.device = 'running';
  }

  #reset(): void {
    this.driver = 'reset';
    this.device = 'resetting';
    this.accepted = this.negotiated = 0n;
    this.queues.clear();
    this.#contents.clear();
    this.#config.clear();
    this.seen = undefined;
  }

  #show(value: number): void {
    this.shown = value;
    if (value === 0) this.device = 'reset';
    else if (this.device === 'resetting' || this.device === 'failed') return;
    else if ((value & DEVICE_NEEDS_RESET) !== 0) this.device = 'needsReset';
    else if (this.device === 'unknown') this.device = phaseOf(value);
    else this.#flip(value & (SUSPEND | DRIVER_OK));
  }

  /** The pair of bits that say whether the device is suspended; while it is on the way, either pair may be shown. */
  #flip(pair: number): void {
    if (pair === SUSPEND && this.device !== 'resuming') this.device = 'suspended';
    else if (pair === DRIVER_OK && (this.device === 'resuming' || this.device === 'suspended')) this.device = 'running';
  }

  #see(value: number): void {
    this.seen = value;
    this.readBack = true;
    const pair = value & (SUSPEND | DRIVER_OK);
    if (this.driver === 'unknown') this.driver = phaseOf(value);
    else if (this.driver === 'suspending' && pair === SUSPEND) this.driver = 'suspended';
    else if (this.driver === 'resuming' && pair === DRIVER_OK) this.driver = 'running';
  }
}

/** The phase of an end that is met with this status, in the middle of its life. */
function phaseOf(status: number): Phase {
  if (status === 0) return 'reset';
  if ((status & FAILED) !== 0) return 'failed';
  if ((status & DEVICE_NEEDS_RESET) !== 0) return 'needsReset';
  const pair = status & (SUSPEND | DRIVER_OK);
  if (pair === 0) return 'initializing';
  if (pair === DRIVER_OK) return 'running';
  return pair === SUSPEND ? 'suspended' : 'suspending';
}

function replaceWord(set: FeatureSet, word: number, bits: number): FeatureSet {
  const shift = BigInt(32 * word);
  return (set & ~(0xffff_ffffn << shift)) | (BigInt(bits) << shift);
}
