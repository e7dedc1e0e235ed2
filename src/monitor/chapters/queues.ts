import { Feature } from '../../spec/features.ts';
import type { Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';

/** A device uses what it was given, each buffer once; in either format of rings. */
function usedOnce(format: 'split' | 'packed', section: string): Requirement {
  return {
    id: `${format}.device.used.id`,
    section,
    level: 'MUST',
    role: 'device',
    text: 'A buffer is used once, after it was made available.',
    check: ({ session, passed, failed }) => {
      /** Queues whose buffers this trace has shown from the start, with what is out. */
      const out = new Map<number, Map<number, Located>>();
      const usedBefore = new Map<string, Located>();
      /** What was out when its queue was reset: to use that is reset.device.queue.2. */
      const stale = new Set<string>();
      const isOfFormat = (): boolean => session.has(Feature.RING_PACKED) === (format === 'packed');
      return {
        'queue.enable': ({ queue }) => {
          out.set(queue, new Map());
        },
        'buffer.available': (event) => {
          out.get(event.queue)?.set(event.id, event);
          stale.delete(`${event.queue}:${event.id}`);
        },
        'buffer.used': (event) => {
          const { queue, id } = event;
          const buffers = out.get(queue);
          if (buffers === undefined || stale.has(`${queue}:${id}`) || !isOfFormat()) return;
          // In order, one entry may stand for all before it, which come before it in this map.
          if (buffers.has(id)) {
            if (session.has(Feature.IN_ORDER)) takeUpTo(buffers, id);
            buffers.delete(id);
            passed();
          } else failed(`buffer ${id} of queue ${queue} is used, which is not out`, usedBefore.get(`${queue}:${id}`));
          usedBefore.set(`${queue}:${id}`, event);
        },
        'queue.reset': ({ queue }) => {
          for (const id of out.get(queue)?.keys() ?? []) stale.add(`${queue}:${id}`);
          out.delete(queue);
        },
        'device.phase': ({ to }) => {
          if (to !== 'resetting') return;
          out.clear();
          stale.clear();
        },
      };
    },
  };
}

function takeUpTo(buffers: Map<number, Located>, id: number): void {
  for (const before of buffers.keys()) {
    if (before === id) return;
    buffers.delete(before);
  }
}

/** What holds for queues in either format, by what the rings say about buffers. */
export const queues: readonly Requirement[] = [usedOnce('split', '§2.7.8'), usedOnce('packed', '§2.8.6')];
