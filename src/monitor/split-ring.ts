import { Feature } from '../spec/features.ts';
import { Available, Used } from '../spec/split-ring.ts';
import { type ChainDescriptor, chainIn } from './chains.ts';
import type { QueuePlace } from './ring-memory.ts';
import type { Session } from './session.ts';
import type { BufferAvailable } from './trace.ts';

/** A split ring in the memory of a trace, for rules that look into it. */

/** The place of a queue if it is a split one. */
export function splitPlace(session: Session, queue: number): QueuePlace | undefined {
  return session.has(Feature.RING_PACKED) ? undefined : session.places.get(queue);
}

/** The descriptors of a buffer, one more than the queue has entries at most: then it is too long, or has no end. */
export function chainOf(session: Session, { queue, id }: BufferAvailable): readonly ChainDescriptor[] {
  const place = splitPlace(session, queue);
  return place === undefined ? [] : chainIn(session.memory, place, id, 'split');
}

/** Addresses of the fields by which the two ends talk about notifications. */
export function fieldsOf({ size, driver, device }: QueuePlace): {
  readonly availableFlags: number;
  readonly availableIndex: number;
  readonly usedEvent: number;
  readonly usedFlags: number;
  readonly usedIndex: number;
  readonly availableEvent: number;
} {
  return {
    availableFlags: driver + Available.FLAGS,
    availableIndex: driver + Available.INDEX,
    usedEvent: driver + Available.RING + Available.ENTRY_SIZE * size,
    usedFlags: device + Used.FLAGS,
    usedIndex: device + Used.INDEX,
    availableEvent: device + Used.RING + Used.ENTRY_SIZE * size,
  };
}

/** Whether an index that went from `before` to `now` has passed the one that the other end waits for (§2.7.7.2, §2.7.10.1). */
export function hasPassed(event: number, before: number, now: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}
