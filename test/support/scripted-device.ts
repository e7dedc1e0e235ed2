import type { DriverTransport, Later } from '../../src/driver/transport.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { SplitDeviceQueue } from '../../src/queue/split-device-queue.ts';
import type { AccessWidth } from '../../src/spec/access-width.ts';
import { Feature, type FeatureSet, featureSet } from '../../src/spec/features.ts';
import { field } from './field.ts';

/**
 * A device that does what a test tells it, lawful or not. It notes every access; `onStatus` decides what a status write
 * leads to, `status` is what is shown.
 */
export class ScriptedDevice implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;

  status = 0;
  offered: FeatureSet = featureSet(Feature.VERSION_1, Feature.SUSPEND);
  accepted: FeatureSet = 0n;
  config = new Uint8Array(60);
  generation = 0;
  queueSize = 8;
  /** Everything the driver did, in order: `status 1f`, `kick 0`, `config 32`, `enable 0`. */
  readonly log: string[] = [];
  readonly queues: SplitDeviceQueue[] = [];
  /** What is shown after a write; by default the value itself. Reset is honoured by default. */
  onStatus: (value: number) => number = (value) => value;
  /** Called before each read of the status. */
  onRead: () => void = () => {};
  onKick: (queue: number) => void = () => {};
  /** What the reset of a queue leads to. */
  onQueueReset: (queue: number) => void = (queue) => delete this.queues[queue];
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory, deviceId: number) {
    this.#memory = memory;
    this.deviceId = deviceId;
  }

  /** The log since the last call. */
  takeLog(): string[] {
    return this.log.splice(0);
  }

  readStatus(): number {
    this.onRead();
    return this.status;
  }

  writeStatus(value: number): Later<void> {
    this.log.push(`status ${value.toString(16).padStart(2, '0')}`);
    if (value === 0) this.queues.length = 0;
    this.status = this.onStatus(value);
  }

  readFeatures(): FeatureSet {
    return this.offered;
  }

  writeFeatures(features: FeatureSet): void {
    this.accepted = features;
  }

  readQueueSize(index: number): number {
    return index === 0 ? this.queueSize : 0;
  }

  enableQueue(index: number, layout: QueueLayout): void {
    this.log.push(`enable ${index}`);
    this.queues[index] = new SplitDeviceQueue(this.#memory, layout, { indirect: false, eventIdx: false });
  }

  resetQueue(index: number): void {
    this.log.push(`reset ${index}`);
    this.onQueueReset(index);
  }

  queueIsReset(index: number): boolean {
    return this.queues[index] === undefined;
  }

  readConfigGeneration(): number {
    return this.generation;
  }

  readConfig(offset: number, width: AccessWidth): number {
    return field(this.config, offset, width);
  }

  writeConfig(offset: number): void {
    this.log.push(`config ${offset}`);
  }

  kick(queue: number): void {
    this.log.push(`kick ${queue}`);
    this.onKick(queue);
  }
}
