import { Feature } from '../spec/features.ts';
import { Available, Descriptor, DescriptorFlag, Used } from '../spec/split-ring.ts';
import type { QueuePlace, RingMemory } from './ring-memory.ts';
import type { Session } from './session.ts';
import type { BufferAvailable } from './trace.ts';

/** A split ring in the memory of a trace, for rules that look into it. */

export interface SplitDescriptor {
  readonly index: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/** The place of a queue if it is a split one. */
export function splitPlace(session: Session, queue: number): QueuePlace | undefined {
  return session.has(Feature.RING_PACKED) ? undefined : session.places.get(queue);
}

/** The descriptors of a buffer, one more than the queue has entries at most: then it is too long, or has no end. */
export function chainOf(session: Session, { queue, id }: BufferAvailable): readonly SplitDescriptor[] {
  const place = splitPlace(session, queue);
  if (place === undefined) return [];
  const chain: SplitDescriptor[] = [];
  for (let index = id; chain.length <= place.size; ) {
    const descriptor = descriptorAt(session.memory, place, index);
    chain.push(descriptor);
    if ((descriptor.flags & DescriptorFlag.NEXT) === 0) break;
    index = descriptor.next;
  }
  return chain;
}

function descriptorAt(memory: RingMemory, { descriptor }: QueuePlace, index: number): SplitDescriptor {
  const at = descriptor + Descriptor.SIZE * index;
  return {
    index,
    length: memory.u32(at + Descriptor.LENGTH),
    flags: memory.u16(at + Descriptor.FLAGS),
    next: memory.u16(at + Descriptor.NEXT),
  };
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
