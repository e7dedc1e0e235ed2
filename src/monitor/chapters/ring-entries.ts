import { Feature } from '../../spec/features.ts';
import { Descriptor } from '../../spec/split-ring.ts';
import type { QueuePlace, RingMemory } from '../ring-memory.ts';
import type { Rule } from '../rule.ts';
import { chainOf, splitPlace } from '../split-ring.ts';
import type { BufferAvailable, Located, MemoryAccess } from '../trace.ts';

/** `order` counts the buffers that were made available. */
type Buffer = Located<BufferAvailable> & { readonly order: number };

/** The descriptors of a table that a write changes; those of either format have the same size. */
export function changedDescriptors(
  memory: RingMemory,
  { descriptor, size }: QueuePlace,
  event: MemoryAccess,
): readonly number[] {
  const { address, bytes = '' } = event;
  const changed = new Set<number>();
  for (let at = 0; at < bytes.length / 2; at++) {
    const index = Math.floor((address + at - descriptor) / Descriptor.SIZE);
    if (index < 0 || index >= size) continue;
    if (memory.u8(address + at) !== Number.parseInt(bytes.slice(2 * at, 2 * at + 2), 16)) changed.add(index);
  }
  return [...changed];
}

/** What is in a split ring of a buffer that the device may still look at. In a packed ring room is all that counts, packed.driver.sg.5. */
export const ringEntriesStay: Rule = {
  id: 'init.driver.cleanup.1',
  section: '§3.3.1',
  level: 'MUST NOT',
  role: 'driver',
  text: 'What is in the ring of a buffer that is out is not changed.',
  check: ({ session, passed, failed }) => {
    /** By queue: the buffer that each descriptor belongs to. */
    const out = new Map<number, Map<number, Buffer>>();
    let order = 0;
    const descriptorsOf = (queue: number): Map<number, Buffer> => {
      const known = out.get(queue) ?? new Map<number, Buffer>();
      out.set(queue, known);
      return known;
    };
    return {
      'buffer.available': (event) => {
        const buffer = { ...event, order: order++ };
        for (const { index } of chainOf(session, event)) descriptorsOf(event.queue).set(index, buffer);
      },
      'buffer.used': ({ queue, id }) => {
        const descriptors = descriptorsOf(queue);
        const used = [...descriptors.values()].find((buffer) => buffer.id === id);
        if (used === undefined) return;
        passed();
        // In order, one entry may stand for all before it.
        const first = session.has(Feature.IN_ORDER) ? 0 : used.order;
        for (const [index, buffer] of descriptors) {
          if (buffer.order >= first && buffer.order <= used.order) descriptors.delete(index);
        }
      },
      memory: (event) => {
        const place = splitPlace(session, event.queue);
        if (place === undefined || event.by !== 'driver' || event.access !== 'write') return;
        for (const index of changedDescriptors(session.memory, place, event)) {
          const buffer = descriptorsOf(event.queue).get(index);
          if (buffer !== undefined) failed(`descriptor ${index} is changed while buffer ${buffer.id} is out`, buffer);
        }
      },
      'queue.reset': ({ queue }) => {
        out.delete(queue);
      },
      'device.phase': ({ to }) => to === 'resetting' && out.clear(),
    };
  },
};
