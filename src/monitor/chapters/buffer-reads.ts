import { Feature } from '../../spec/features.ts';
import { type ChainDescriptor, chainIn, isWritable, type RingFormat, segmentsOf } from '../chains.ts';
import type { Findings, Rule } from '../rule.ts';
import type { BufferAvailable, Located } from '../trace.ts';

interface Buffer {
  readonly event: Located<BufferAvailable>;
  readonly segments: readonly ChainDescriptor[];
}

/** What a device may only write it does not read, as far as a trace has what it reads. */
export function writableIsNotRead(format: RingFormat, section: string): Rule {
  return {
    id: `${format}.device.desc.2`,
    section,
    level: 'SHOULD NOT',
    role: 'device',
    text: 'Device-writable buffers are not read.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      /** By queue, in the order in which they came. */
      const out = new Map<number, Map<number, Buffer>>();
      let isRead = false;
      return {
        'buffer.available': (event) => {
          const segments = segmentsIn(findings, event, format);
          const buffers = out.get(event.queue) ?? new Map<number, Buffer>();
          buffers.delete(event.id);
          if (segments !== undefined) out.set(event.queue, buffers.set(event.id, { event, segments }));
        },
        'buffer.used': ({ queue, id }) => {
          const buffers = out.get(queue);
          const buffer = buffers?.get(id);
          if (buffers === undefined || buffer === undefined) return;
          // In order, one used entry may stand for all before it.
          if (session.has(Feature.IN_ORDER)) {
            for (const before of buffers.keys()) {
              if (before === id) break;
              buffers.delete(before);
            }
          }
          buffers.delete(id);
          if (isRead && buffer.segments.some(isWritable)) passed();
        },
        memory: ({ by, access, queue, address, length }) => {
          if (by !== 'device' || access !== 'read') return;
          isRead = true;
          const buffers = [...(out.get(queue)?.values() ?? [])];
          const holds = (segment: ChainDescriptor): boolean =>
            address < segment.address + segment.length && segment.address < address + length;
          if (buffers.some(({ segments }) => segments.some((segment) => holds(segment) && !isWritable(segment))))
            return;
          const buffer = buffers.find(({ segments }) => segments.some(holds));
          if (buffer !== undefined)
            failed(`the device reads what it may write of buffer ${buffer.event.id} of queue ${queue}`, buffer.event);
        },
        'queue.reset': ({ queue }) => {
          out.delete(queue);
        },
        'device.phase': ({ to }) => to === 'resetting' && out.clear(),
      };
    },
  };
}

function segmentsIn(
  { session }: Findings,
  event: BufferAvailable,
  format: RingFormat,
): readonly ChainDescriptor[] | undefined {
  const place = session.places.get(event.queue);
  if (place === undefined || session.has(Feature.RING_PACKED) !== (format === 'packed')) return undefined;
  const chain = chainIn(session.memory, place, event.at ?? event.id, format);
  return segmentsOf(chain, place.size, format, session.contentsOf(event, 'driver')?.table);
}
