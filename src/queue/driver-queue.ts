import type { BufferList } from './buffer-list.ts';
import type { QueueLayout } from './device-queue.ts';

/** A buffer that came back: which one, and how many bytes of its device-writable part the device has written. */
export interface UsedBuffer {
  readonly id: number;
  readonly written: number;
}

/**
 * The driver end of a virtqueue, whatever its format. Not a word of what the device writes is believed: `collect` throws
 * ProtocolError for buffers that were never offered, lengths beyond the buffer and positions that jump.
 */
export interface DriverQueue {
  /** Where the areas are, to be told to the device. */
  readonly layout: QueueLayout;
  /** Buffers that were offered and have not come back. */
  readonly outstanding: number;
  /** Offered and not yet shown to the device by `expose`. */
  readonly hidden: number;

  /**
   * Where the next buffer will be made available, as notifications carry it (§2.9): 15 bits of position, and in bit 15 the
   * wrap counter; of a split ring the available index.
   */
  readonly nextAvailable: number;

  /** Adds a buffer. Its id, below the queue's size, until it comes back; -1 when the queue is full. */
  offer(buffers: BufferList): number;

  /** Shows all offered buffers to the device. True when it has to be kicked for them (§2.7.10, §2.8.10). */
  expose(): boolean;

  /** The next buffer that came back, in an object that the next call uses again; undefined when there is none. */
  collect(): UsedBuffer | undefined;

  /** Asks for an interrupt at the next used buffer. True when there is one already: then collect it. */
  arm(): boolean;

  /** Gives the memory of the areas back. Only after the device was reset. */
  release(): void;
}
