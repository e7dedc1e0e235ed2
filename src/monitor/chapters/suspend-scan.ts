import { Feature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import type { Rule } from '../rule.ts';
import type { BufferAvailable, BufferTaken, BufferUsed, Located } from '../trace.ts';

/** Microseconds in which a device that looks into its queues by itself has done so. */
const PATIENCE_US = 1_000_000;

/** Buffers that were there before the resume are found by a device that looks, within a time that is long. */
export const waitedIsTaken: Rule = {
  id: 'suspend.device.scan',
  section: '§3.4',
  level: 'SHOULD',
  role: 'device',
  text: 'What waited in a queue over the rest is taken after it without another kick.',
  check: ({ session, passed, failed }) => {
    /** What has something for the device to read, by queue and id; other buffers may have to wait for an event. */
    const waiting = new Map<string, Located<BufferAvailable>>();
    /** Those of them that were there when the device ran again. */
    const left = new Map<string, Located<BufferAvailable>>();
    let since: Located | undefined;
    let now = 0;
    const follow = ({ time = now }: Located): void => {
      now = time;
    };
    const isLate = (): boolean => now - (since?.time ?? 0) >= PATIENCE_US;
    const taken = ({ queue, id }: BufferTaken | BufferUsed): void => {
      const last = `${queue}:${id}`;
      // In order, one used entry may stand for all before it.
      const before = session.has(Feature.IN_ORDER) && waiting.has(last) ? [...waiting.values()] : [];
      for (const buffer of before) {
        if (`${buffer.queue}:${buffer.id}` === last) break;
        if (buffer.queue === queue) gone(`${queue}:${buffer.id}`);
      }
      gone(last);
    };
    const gone = (key: string): void => {
      waiting.delete(key);
      if (left.delete(key)) passed();
    };
    const givenUp = (): void => {
      const [buffer] = left.values();
      if (buffer !== undefined && isLate())
        failed(`buffer ${buffer.id} of queue ${buffer.queue} does not come back after the resume`, buffer, since);
      left.clear();
    };
    return {
      'buffer.available': (event) => {
        const key = `${event.queue}:${event.id}`;
        waiting.delete(key);
        if ((event.readable ?? 0) > 0) waiting.set(key, event);
      },
      'buffer.taken': taken,
      'buffer.used': taken,
      kick: (event) => {
        follow(event);
        for (const [key, buffer] of left) {
          if (buffer.queue !== event.queue) continue;
          if (isLate())
            failed(`buffer ${buffer.id} of queue ${buffer.queue} has waited for another kick`, buffer, since);
          left.delete(key);
        }
      },
      'queue.reset': ({ queue }) => {
        for (const buffers of [waiting, left])
          for (const [key, buffer] of buffers) if (buffer.queue === queue) buffers.delete(key);
      },
      'status.read': follow,
      'status.write': (event) => {
        follow(event);
        // A reset takes them back; so does the end of a device that is given up.
        if (event.value === 0 || (event.value & Status.FAILED) !== 0) givenUp();
      },
      'device.phase': ({ from, to }) => {
        if (to !== 'needsReset') givenUp();
        left.clear();
        if (to === 'resetting') waiting.clear();
        if (from !== 'resuming' || to !== 'running') return;
        since = session.deviceSince;
        for (const [key, buffer] of waiting) left.set(key, buffer);
      },
      end: givenUp,
    };
  },
};
