import type { QueueState, TakenRecord } from '../../queue/device-queue.ts';

/** One queue's part of the memory. */
export interface InflightQueue extends TakenRecord {
  /** Where the queue goes on: as the record says; at `base` when the record is new. Throws ProtocolError when it makes no sense. */
  resume(base: QueueState, ring: RingInMemory): QueueState;
}

/** What the driver sees of the ring. */
export interface RingInMemory {
  /** Of a split ring. */
  readonly usedIndex: number;
  /** Whether the descriptor of a packed ring is marked as used, in the round with that wrap counter. */
  isUsed(position: number, wrap: number): boolean;
}
