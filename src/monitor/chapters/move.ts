import { describeStatus } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { Located, Restored, Saved } from '../trace.ts';

/**
 * Devices that are saved, and go on here or elsewhere. The standard does not say how that is done; but a driver that knows nothing
 * of it sees one device, which keeps to everything that it says of one, and was suspended as long as it took (§3.4).
 */
export const move: readonly Requirement[] = [
  {
    id: 'move.device.rest',
    section: '§3.4',
    level: 'MUST NOT',
    role: 'device',
    text: 'A device that runs, or is on the way in or out of a suspend, is not saved unless its host holds it; nor while a buffer is processed.',
    check: ({ session, passed, failed }) => {
      const taken = new Map<string, Located>();
      return {
        'buffer.taken': (event) => {
          taken.set(`${event.queue}:${event.id}`, event);
        },
        'buffer.used': ({ queue, id }) => {
          taken.delete(`${queue}:${id}`);
        },
        'device.phase': ({ to }) => {
          if (to === 'resetting' || to === 'needsReset') taken.clear();
        },
        saved: ({ paused = false }) => {
          const { device, deviceSince } = session;
          const [first] = taken.values();
          const isMoving = device === 'suspending' || (!paused && (device === 'running' || device === 'resuming'));
          if (isMoving) failed(`the device is saved while it is ${device}`, deviceSince);
          else if (first !== undefined) failed('the device is saved with a buffer in processing', first);
          else passed();
        },
      };
    },
  },
  {
    id: 'move.device.still',
    section: '§3.4',
    level: 'MUST NOT',
    role: 'device',
    text: 'What goes on elsewhere has done nothing since it was saved: no buffer, no notification, no other status.',
    check: ({ session, passed, failed }) => {
      let saved: Located<Saved> | undefined;
      let done: Located | undefined;
      const does = (event: Located): void => {
        if (saved !== undefined) done ??= event;
      };
      return {
        saved: (event) => {
          saved = event;
          done = undefined;
        },
        'buffer.taken': does,
        'buffer.used': does,
        interrupt: does,
        memory: (event) => event.by === 'device' && does(event),
        'status.shown': (event) => event.value !== session.shown && does(event),
        restored: () => {
          if (saved === undefined) return;
          if (done === undefined) passed();
          else failed('the device has done something after it was saved, which is lost', saved, done);
          saved = done = undefined;
        },
        'device.phase': ({ to }) => {
          if (to === 'resetting') saved = undefined;
        },
      };
    },
  },
  {
    id: 'move.device.same',
    section: '§3.4',
    level: 'MUST',
    role: 'device',
    text: 'A saved device goes on with the status that it had, and what was negotiated.',
    check: ({ passed, failed }) =>
      onMoves((saved, restored) => {
        const differs = [
          ...(saved.status === restored.status ? [] : [`the status ${describeStatus(restored.status)}`]),
          ...(bits(saved) === bits(restored) ? [] : [`features 0x${restored.features}`]),
        ];
        if (differs.length === 0) passed();
        else failed(`the device goes on with ${differs.join(' and ')}`, saved);
      }),
  },
  {
    id: 'move.device.queues',
    section: '§3.4',
    level: 'MUST',
    role: 'device',
    text: 'A saved device goes on in each of its queues where it was, by what is in the ring: nothing is lost, or used twice.',
    check: ({ session, passed, failed }) => {
      const look = ({ queues = [] }: Located<Saved | Restored>): void => {
        for (const { queue, used } of queues) {
          const inRing = session.used.get(queue);
          if (inRing === undefined) continue;
          if (inRing === used) passed();
          else failed(`queue ${queue} is said to be at ${used}, and its ring is at ${inRing}`, session.deviceSince);
        }
      };
      const moves = onMoves((saved, restored) => {
        const lost = (saved.queues ?? []).find((before) => {
          const now = restored.queues?.find(({ queue }) => queue === before.queue);
          return now?.available !== before.available || now.used !== before.used;
        });
        if (lost === undefined) look(restored);
        else failed(`queue ${lost.queue} does not go on where it was`, saved);
      });
      return {
        saved: (event) => {
          look(event);
          moves.saved(event);
        },
        restored: moves.restored,
      };
    },
  },
];

/** What was saved last, and goes on now. */
function onMoves(moved: (saved: Located<Saved>, restored: Located<Restored>) => void): {
  readonly saved: (event: Located<Saved>) => void;
  readonly restored: (event: Located<Restored>) => void;
} {
  let last: Located<Saved> | undefined;
  return {
    saved: (event) => {
      last = event;
    },
    restored: (event) => {
      if (last !== undefined) moved(last, event);
      last = undefined;
    },
  };
}

function bits({ features }: Saved | Restored): bigint {
  return BigInt(`0x${features}`);
}
