import { Feature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import type { Rule } from '../rule.ts';
import type { Located, TraceEvent } from '../trace.ts';

const { FAILED, DEVICE_NEEDS_RESET } = Status;

/** Notifications of a split queue in which there is nothing new: the other end takes them as if they had not been. */
export const emptyKick: Rule = {
  id: 'split.device.availnotif.5',
  section: '§2.7.10.2',
  level: 'MUST',
  role: 'device',
  text: 'A kick without a new buffer does no harm.',
  check: ({ session, passed, failed }) => {
    /** What is out of each queue whose buffers the trace shows, and the queues that the driver has written to since it kicked. */
    const out = new Map<number, number>();
    const written = new Set<number>();
    let empty: Located | undefined;
    const look = ({ value }: { readonly value: number }): void => {
      if (empty === undefined) return;
      if ((value & DEVICE_NEEDS_RESET) === 0) passed();
      else failed('the device wants a reset after a kick without a new buffer', empty);
      empty = undefined;
    };
    const clear = (): void => {
      out.clear();
      empty = undefined;
    };
    return {
      memory: ({ by, access, queue }) => {
        if (by === 'driver' && access === 'write') written.add(queue);
      },
      'buffer.available': ({ queue }) => {
        out.set(queue, (out.get(queue) ?? 0) + 1);
        empty = undefined;
      },
      'buffer.used': ({ queue }) => {
        out.set(queue, (out.get(queue) ?? 0) - 1);
      },
      kick: (event) => {
        const isEmpty = out.get(event.queue) === 0 && !written.has(event.queue);
        empty = isEmpty && session.device === 'running' && !session.has(Feature.RING_PACKED) ? event : undefined;
        written.delete(event.queue);
      },
      'status.read': look,
      'status.shown': look,
      'queue.reset': clear,
      'device.phase': ({ to }) => to === 'resetting' && clear(),
    };
  },
};

export const emptyInterrupt: Rule = {
  id: 'split.driver.usednotif.5',
  section: '§2.7.7.1',
  level: 'MUST',
  role: 'driver',
  text: 'A used buffer notification without a used buffer does no harm.',
  check: ({ session, passed, failed }) => {
    /** Whether the trace shows buffers that are used, and those that no notification has been sent for. */
    let news: 'unknown' | 'some' | 'none' = 'unknown';
    let empty: Located<TraceEvent> | undefined;
    const goesOn = (): void => {
      if (empty !== undefined) passed();
      empty = undefined;
    };
    return {
      'buffer.used': () => {
        news = 'some';
        empty = undefined;
      },
      interrupt: (event) => {
        if (event.cause !== 'used') return;
        if (news === 'none' && !session.has(Feature.RING_PACKED)) empty = event;
        if (news === 'some') news = 'none';
      },
      'buffer.available': goesOn,
      kick: goesOn,
      'status.write': ({ value }) => {
        if (empty === undefined) return;
        if ((value & FAILED) !== 0) failed('the device is given up after a notification for nothing', empty);
        else if (value !== 0) passed();
        empty = undefined;
      },
      'device.phase': ({ to }) => {
        if (to === 'needsReset' || to === 'resetting') empty = undefined;
      },
    };
  },
};
