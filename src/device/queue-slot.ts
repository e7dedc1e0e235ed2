import type { OrphanCount } from '../queue/chain.ts';
import type { DeviceQueue, QueueLayout, TakenRecord } from '../queue/device-queue.ts';
import { StateError } from '../spec/fault.ts';
import type { QueueDescription } from './device-type.ts';
import type { Quiet } from './quiet.ts';

/**
 * One virtqueue as the transport's registers show it, and the queue itself once the device runs. The fields are what the
 * driver wrote, unchecked: they are checked when the queue is made.
 */
export class QueueSlot {
  readonly index: number;
  readonly description: QueueDescription;
  /** Brings this queue alone to rest. */
  readonly quiet: Quiet;
  size: number;
  descriptorArea = 0;
  driverArea = 0;
  deviceArea = 0;
  enabled = false;
  /** Present while the queue is enabled and the device is past DRIVER_OK. */
  queue: DeviceQueue | undefined;
  /** Where the queue writes down what it has taken; set with the other registers. */
  record: TakenRecord | undefined;
  /** Chains that were out when the driver reset this queue alone; until they are back no new ones are taken from it. */
  readonly orphans: OrphanCount = { count: 0 };
  /** Buffers of an onDemand queue that were taken since it was last found empty. */
  takes = 0;
  /** Buffers taken since the device was made. */
  served = 0;
  /** Buffers are being taken from it in this call; a kick meanwhile sets `again`. */
  draining = false;
  again = false;
  /** What is completed now is published with the rest of its batch. */
  batching = false;

  /** `quiet` makes the engine for this slot. */
  constructor(index: number, description: QueueDescription, quiet: (slot: QueueSlot) => Quiet) {
    this.index = index;
    this.description = description;
    this.quiet = quiet(this);
    this.size = description.maxSize;
  }

  get layout(): QueueLayout {
    const { size, descriptorArea, driverArea, deviceArea } = this;
    return { size, descriptorArea, driverArea, deviceArea };
  }

  get onDemand(): boolean {
    return this.description.taking === 'onDemand';
  }

  /** Chains in processing. */
  get taken(): number {
    return this.queue?.taken ?? 0;
  }

  /** Ends the queue; chains that are out are counted in `orphans`. Nobody waits any more for it to come to rest. */
  close(orphans: OrphanCount): void {
    this.queue?.close(orphans);
    this.queue = undefined;
    this.quiet.release('transport', new StateError('the queue was reset'));
  }

  /** Takes over saved registers. */
  restore({
    size,
    descriptorArea,
    driverArea,
    deviceArea,
    enabled,
  }: QueueLayout & { readonly enabled: boolean }): void {
    this.size = size;
    this.descriptorArea = descriptorArea;
    this.driverArea = driverArea;
    this.deviceArea = deviceArea;
    this.enabled = enabled;
  }

  reset(): void {
    this.size = this.description.maxSize;
    this.descriptorArea = this.driverArea = this.deviceArea = 0;
    this.record = undefined;
    this.enabled = false;
  }
}
