import { Feature } from '../../spec/features.ts';
import type { Rule } from '../rule.ts';
import type { BufferAvailable, Located } from '../trace.ts';

/**
 * A driver that makes a buffer available again which is out has taken it back. Where a recorder looks late it may find the use of
 * a buffer after that: it is told of before the driver goes on.
 */
export const buffersStayOut: Rule = {
  id: 'init.driver.cleanup.2',
  section: '§3.3.1',
  level: 'MUST',
  role: 'driver',
  text: 'Buffers that are out are taken back only after the reset of their queue, or of the device.',
  check: ({ session, passed, failed }) => {
    const out = new Map<string, Located<BufferAvailable>>();
    const again = new Map<string, readonly [before: Located, now: Located]>();
    const goesOn = (): void => {
      for (const [before, now] of again.values()) failed('a buffer that is out is made available again', before, now);
      again.clear();
    };
    const back = (isBack: (buffer: BufferAvailable) => boolean): void => {
      const gone = [...out].filter(([, buffer]) => isBack(buffer));
      for (const [key] of gone) out.delete(key);
      if (gone.length > 0) passed();
    };
    return {
      'buffer.available': (event) => {
        const key = `${event.queue}:${event.id}`;
        const before = out.get(key);
        // Both ends overwrite a packed ring, so that a late look may find neither.
        if (before !== undefined && !session.has(Feature.RING_PACKED)) again.set(key, [before, event]);
        out.delete(key);
        out.set(key, event);
      },
      'buffer.used': ({ queue, id }) => {
        const last = `${queue}:${id}`;
        if (again.delete(last)) return;
        // In order, one used entry may stand for all before it.
        const inOrder = session.has(Feature.IN_ORDER) && out.has(last);
        for (const [key, buffer] of out) {
          if (key === last) break;
          if (inOrder && buffer.queue === queue) out.delete(key);
        }
        out.delete(last);
      },
      kick: goesOn,
      'status.read': goesOn,
      'status.write': ({ value }) => {
        goesOn();
        if (value === 0) back(() => true);
      },
      'queue.reset': ({ queue }) => back((buffer) => buffer.queue === queue),
      end: goesOn,
    };
  },
};
