import type { QueueLayout } from '../queue/device-queue.ts';
import type { AccessWidth } from '../spec/access-width.ts';
import type { FeatureSet } from '../spec/features.ts';

/** A value now, where the registers are a function call away, or later, where they are behind a socket or a worker. */
export type Later<T> = T | Promise<T>;

/**
 * The registers of a device as a driver uses them, over whatever transport. Methods reject with TransportError when the
 * device cannot be reached. Writes take effect in the order of the calls.
 */
export interface DriverTransport {
  readonly deviceId: number;
  readStatus(): Later<number>;
  writeStatus(value: number): Later<void>;
  readFeatures(): Later<FeatureSet>;
  writeFeatures(features: FeatureSet): Later<void>;

  /** The entries that queue `index` may have at most; 0 when there is none. */
  readQueueSize(index: number): Later<number>;
  /** Tells the device where a queue is, and enables it. */
  enableQueue(index: number, layout: QueueLayout): Later<void>;

  readConfigGeneration(): Later<number>;
  /** A field of the configuration space, in one access of its own width; 0 beyond the end of the space. */
  readConfig(offset: number, width: AccessWidth): Later<number>;
  writeConfig(offset: number, width: AccessWidth, value: number): Later<void>;

  /** Asks for the reset of one queue (§2.6.1); only with VIRTIO_F_RING_RESET. */
  resetQueue(index: number): Later<void>;
  /** Whether the queue is neither being reset nor enabled: the device has let go of it. */
  queueIsReset(index: number): Later<boolean>;

  /**
   * Kicks a queue; goes out in order with the other calls, and is not waited for. With VIRTIO_F_NOTIFICATION_DATA `next`
   * says where the next buffer will be made available (§2.9): 16 bits, see `DriverQueue.nextAvailable`.
   */
  kick(queue: number, next?: number): void;

  /** Set by the driver. Spurious calls are allowed. */
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  /** Set by the driver; for transports that can lose their device, as when a worker or a socket ends. */
  onLost?: ((error: Error) => void) | undefined;
}

/** Register accesses that nobody waits for: when they fail, the device is lost. */
export function lostWhenRejected(access: Later<unknown>, transport: Pick<DriverTransport, 'onLost'>): void {
  if (access instanceof Promise) access.catch((error: Error) => transport.onLost?.(error));
}
