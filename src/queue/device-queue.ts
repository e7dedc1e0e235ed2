import type { GuestAddress, MemoryRegion } from '../memory/guest-memory.ts';
import type { Chain, OrphanCount } from './chain.ts';

/** Where the driver put a queue, and how large it made it (§2.6). */
export interface QueueLayout {
  readonly size: number;
  readonly descriptorArea: GuestAddress;
  readonly driverArea: GuestAddress;
  readonly deviceArea: GuestAddress;
}

/** What was negotiated that changes how a queue works. */
export interface QueueFeatures {
  readonly indirect: boolean;
  readonly eventIdx: boolean;
  /** Buffers are used in the order in which they were made available. Without it in any order. */
  readonly inOrder?: boolean;
  /**
   * Descriptors that an indirect table may have; as many as the queue has, if not said. A driver may have made the queue smaller
   * than its device could have it, and still go by what the configuration space says of the device's own size.
   */
  readonly longestTable?: number;
}

/** The positions of a split queue as plain data, as in the rings: 0 to 65535. */
export interface SplitQueueState {
  readonly format: 'split';
  /** The next entry of the available ring to take. */
  readonly availableNext: number;
  /** The next entry of the used ring to write. */
  readonly usedNext: number;
  /** Heads of the chains in between, where a queue goes on that somebody else has left while it was at work. */
  readonly taken?: readonly number[];
}

/** The positions of a packed queue: descriptors in the ring, and the wrap counters, 0 or 1. */
export interface PackedQueueState {
  readonly format: 'packed';
  readonly availableNext: number;
  readonly availableWrap: number;
  readonly usedNext: number;
  readonly usedWrap: number;
  /** The chains in between, where a queue goes on that somebody else has left while it was at work. */
  readonly taken?: readonly TakenPackedChain[];
}

/** A chain of a packed ring that was taken: its descriptors may be overwritten in the ring by then. */
export interface TakenPackedChain {
  readonly id: number;
  /** As in `Chain.entry`. */
  readonly entry: number;
  readonly descriptors: readonly { readonly address: number; readonly length: number; readonly flags: number }[];
}

/**
 * Where a queue writes down which chains it has taken and not used, for whoever goes on with it when this process is gone. The
 * record is at all times true of what the driver can see: the calls come in this order.
 */
export interface TakenRecord {
  /** A chain was taken; for a packed `ring` its descriptors are those from `chain.position` on. */
  taken(chain: Chain, ring: MemoryRegion): void;
  /** It was made available again. */
  givenBack(chain: Chain): void;
  /** It was used, which the driver cannot see yet. */
  used(chain: Chain): void;
  /** The driver is about to see all that was used. */
  publishing(): void;
  /** The driver sees it; for a split ring, up to `usedNext`. */
  published(usedNext: number): void;
}

/** The positions of a queue. Only one that holds no chain has them: see `DeviceQueue.save`. */
export type QueueState = SplitQueueState | PackedQueueState;

/**
 * The device end of a virtqueue, whatever its format.
 *
 * All methods that touch the ring throw ProtocolError when the driver's side of it makes no sense.
 */
export interface DeviceQueue {
  readonly size: number;
  /** Chains that were taken and neither used nor given back. */
  readonly taken: number;

  /** The next available chain, or undefined. The caller owns it until `complete` or `giveBack`. */
  take(): Chain | undefined;

  /**
   * Puts a chain into the used ring, with the number of bytes written to it. The driver sees it with the next `publish`. In
   * an IN_ORDER queue it waits for those that were taken before it, whose completion then uses it, too; each gets an entry
   * of its own, for drivers that do not look for batches.
   */
  complete(chain: Chain, written: number): void;

  /** Makes the last taken chain available again, as if it had not been taken. */
  giveBack(chain: Chain): void;

  /** Shows all completed chains to the driver. True when it has to be notified of them (§2.7.7, §2.8.10). */
  publish(): boolean;

  /** Asks for a kick at the next buffer. True when there is one already: then take it, no kick comes for it. */
  arm(): boolean;

  /** Checks that the rings in memory agree with the positions; throws ProtocolError when not. For resume and restore. */
  verify(): void;

  /** Throws StateError while a chain is taken or a completion is not published. */
  save(): QueueState;

  /**
   * Ends the queue at a reset: its chains are no longer live, and nothing touches the rings any more. Those that are taken
   * are counted in `orphans`; whoever gets them back counts them out.
   */
  close(orphans?: OrphanCount): void;
}
