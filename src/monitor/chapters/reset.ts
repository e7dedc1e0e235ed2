import { describeStatus } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { Located, StatusRead } from '../trace.ts';

/** Reset of the device (§2.4), of one queue (§2.6.1). */
export const reset: readonly Requirement[] = [
  {
    id: 'reset.device.1',
    section: '§2.4.1',
    level: 'MUST',
    role: 'device',
    text: 'After a reset the status is 0.',
    check: ({ session, passed, failed }) => {
      let read: Located<StatusRead> | undefined;
      const check = (): void => {
        if (session.device === 'resetting' && read !== undefined) {
          failed(`the status is ${describeStatus(read.value)}, never 0`, session.deviceSince, read);
        }
        read = undefined;
      };
      return {
        'status.read': (event) => {
          if (session.device === 'resetting') read = event;
        },
        'status.write': check,
        'device.phase': ({ from, to }) => {
          if (from === 'resetting' && to === 'reset') passed();
          read = undefined;
        },
        end: check,
      };
    },
  },
  {
    id: 'reset.device.2',
    section: '§2.4.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'Once it shows 0, nothing is notified and no queue touched until it is initialised again.',
    check: ({ session, passed, failed }) => {
      const does = (what: string) => (): void => {
        if (session.device === 'reset') failed(`${what} after the reset`, session.deviceSince);
      };
      const memory = does('the memory of a queue is touched');
      return {
        interrupt: does('a notification is sent'),
        'buffer.taken': does('a buffer is taken'),
        'buffer.used': does('a buffer is used'),
        memory: ({ by }) => by === 'device' && memory(),
        'device.phase': ({ from, to }) => from === 'resetting' && to === 'reset' && passed(),
      };
    },
  },
  {
    id: 'reset.driver.1',
    section: '§2.4.2',
    level: 'SHOULD',
    role: 'driver',
    text: 'The reset is taken for done when the status was read as 0.',
    check: ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        // Over PCI this is a MUST of its own, pci.driver.common.5.
        if (session.driver !== 'reset' || value === 0 || session.header.transport === 'pci') return;
        if (session.seen === 0) passed();
        else failed('the initialisation begins before the status was read as 0', session.driverSince);
      },
    }),
  },
  {
    id: 'reset.device.queue.1',
    section: '§2.6.1.1.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'After the reset of a queue none of its buffers is processed, and nothing notified for it.',
    check: ({ passed, failed }) => {
      /** Queues that were reset, by what showed that it is done. */
      const done = new Map<number, Located>();
      const does = (what: string, queue: number | undefined): void => {
        const since = queue === undefined ? undefined : done.get(queue);
        if (since !== undefined) failed(`${what} after the reset of queue ${queue}`, since);
      };
      return {
        'queue.reset.read': (event) => {
          if (event.value !== 0) return;
          done.set(event.queue, event);
          passed();
        },
        'queue.enable': ({ queue }) => {
          done.delete(queue);
        },
        'device.phase': ({ to }) => to === 'resetting' && done.clear(),
        'buffer.taken': ({ queue }) => does('a buffer is taken', queue),
        'buffer.used': ({ queue }) => does('a buffer is used', queue),
        interrupt: ({ queue }) => does('a notification is sent', queue),
      };
    },
  },
  {
    id: 'reset.device.queue.2',
    section: '§2.6.1.1.1',
    level: 'MUST',
    role: 'device',
    text: 'The reset of a queue takes its positions back to the start: nothing of before is used when it is enabled again.',
    check: ({ passed, failed }) => {
      const out = new Map<number, Map<number, Located>>();
      const stale = new Map<number, Map<number, Located>>();
      return {
        'buffer.available': (event) => {
          const buffers = out.get(event.queue) ?? new Map<number, Located>();
          out.set(event.queue, buffers.set(event.id, event));
          stale.get(event.queue)?.delete(event.id);
        },
        'buffer.used': ({ queue, id }) => {
          out.get(queue)?.delete(id);
          const before = stale.get(queue)?.get(id);
          if (before !== undefined)
            failed('a buffer is used that was made available before the reset of the queue', before);
        },
        'queue.reset': ({ queue }) => {
          const buffers = out.get(queue);
          out.delete(queue);
          if (buffers !== undefined) stale.set(queue, buffers);
        },
        'queue.enable': ({ queue }) => {
          if (stale.has(queue)) passed();
        },
        'device.phase': ({ to }) => {
          if (to !== 'resetting') return;
          out.clear();
          stale.clear();
        },
      };
    },
  },
  {
    id: 'reset.driver.queue.1',
    section: '§2.6.1.1.2',
    level: 'MUST',
    role: 'driver',
    text: 'The driver makes sure that a queue is reset before it uses it again.',
    check: ({ passed, failed }) => {
      const asked = new Map<number, Located>();
      const early = ({ queue }: { readonly queue: number }): void => {
        const request = asked.get(queue);
        if (request !== undefined) failed(`queue ${queue} is used again before its reset was seen to be done`, request);
        asked.delete(queue);
      };
      return {
        'queue.reset': (event) => {
          asked.set(event.queue, event);
        },
        'queue.reset.read': ({ queue, value }) => {
          if (value === 0 && asked.delete(queue)) passed();
        },
        'queue.enable': early,
        'buffer.available': early,
        'device.phase': ({ to }) => to === 'resetting' && asked.clear(),
      };
    },
  },
  {
    id: 'reset.driver.queue.2',
    section: '§2.6.1.1.2',
    level: 'MAY',
    role: 'driver',
    text: 'After the reset of a queue what belongs to it may be given back.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'reset.device.reenable.1',
    section: '§2.6.1.2.1',
    level: 'MUST',
    role: 'device',
    text: 'A queue that is enabled again has the settings that the driver has made since.',
    unseen: 'A device with the old ones looks in the wrong place and finds nothing there, which a trace does not show.',
  },
  {
    id: 'reset.driver.reenable.1',
    section: '§2.6.1.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A queue is configured anew, as at first, before it is enabled again.',
    check: ({ session, passed, failed }) => {
      const resets = new Map<number, Located>();
      return {
        'queue.reset': (event) => {
          resets.set(event.queue, event);
        },
        'queue.enable': ({ queue, size, descriptor, driver, device }) => {
          const request = resets.get(queue);
          resets.delete(queue);
          if (request === undefined) return;
          // The size is kept by a register that shows the largest one, which may be what is wanted.
          const places = [descriptor, driver, device];
          const isSet = session.header.transport === 'mmio' ? [size, ...places] : places;
          if (isSet.includes(undefined)) failed(`queue ${queue} is enabled without being configured anew`, request);
          else passed();
        },
        'device.phase': ({ to }) => to === 'resetting' && resets.clear(),
      };
    },
  },
];
