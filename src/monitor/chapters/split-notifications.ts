import { Feature } from '../../spec/features.ts';
import { u16Written } from '../ring-memory.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import { fieldsOf, hasPassed, splitPlace } from '../split-ring.ts';
import type { Located } from '../trace.ts';
import { unseen } from './split.ts';

type Suppression = 'flags' | 'event index';

/** One side of notifications: whose index says that there is something, and by what the other side says that it wants to know. */
interface Side {
  readonly index: 'usedIndex' | 'availableIndex';
  readonly flags: 'availableFlags' | 'usedFlags';
  readonly event: 'usedEvent' | 'availableEvent';
  readonly notification: 'interrupt' | 'kick';
}

const BY_DEVICE: Side = { index: 'usedIndex', flags: 'availableFlags', event: 'usedEvent', notification: 'interrupt' };
const BY_DRIVER: Side = { index: 'availableIndex', flags: 'usedFlags', event: 'availableEvent', notification: 'kick' };

interface Watcher {
  /** Something new is in the ring, and the other side wants to know, or not. */
  news?(queue: number, wanted: 'wanted' | 'unwanted', event: Located): void;
  notified(queue: number): void;
  /** The driver has seen that the device runs again. */
  resumed?(): void;
  over?(): void;
}

/** Follows the index of one side, and the notifications for it. */
function watch({ session }: Findings, side: Side, by: Suppression, watcher: Watcher): Check {
  const isNotified = (queue: number | undefined): void => {
    // A line that queues share stands for all of them.
    for (const one of queue === undefined ? session.places.keys() : [queue]) watcher.notified(one);
  };
  const over = (): void => watcher.over?.();
  return {
    memory: (event) => {
      const place = splitPlace(session, event.queue);
      if (place === undefined || session.has(Feature.EVENT_IDX) !== (by === 'event index')) return;
      const fields = fieldsOf(place);
      const now = u16Written(session.memory, event, fields[side.index]);
      const before = session.memory.u16(fields[side.index]);
      if (now === undefined || now === before) return;
      const isWanted =
        by === 'flags'
          ? (session.memory.u16(fields[side.flags]) & 1) === 0
          : hasPassed(session.memory.u16(fields[side.event]), before, now);
      watcher.news?.(event.queue, isWanted ? 'wanted' : 'unwanted', event);
    },
    ...(side.notification === 'kick'
      ? { kick: ({ queue }) => isNotified(queue) }
      : { interrupt: ({ cause, queue }) => cause === 'used' && isNotified(queue) }),
    'device.phase': ({ to }) => (to === 'resetting' || to === 'needsReset' || to === 'failed') && over(),
    'driver.phase': ({ from, to }) => {
      if (from === 'resuming' && to === 'running') watcher.resumed?.();
    },
    'queue.reset': over,
  };
}

/** What is wanted is notified, in the end. */
function owed(findings: Findings, side: Side, by: Suppression): Check {
  const pending = new Map<number, Located>();
  let sawAny = false;
  return {
    ...watch(findings, side, by, {
      news: (queue, wanted, event) => {
        if (wanted === 'wanted' && !pending.has(queue)) pending.set(queue, event);
      },
      notified: (queue) => {
        sawAny = true;
        if (pending.delete(queue)) findings.passed();
      },
      over: () => pending.clear(),
    }),
    end: () => {
      // A recorder that sees no notifications at all says nothing about them.
      if (!sawAny) return;
      for (const [queue, event] of pending) findings.failed(`queue ${queue} is never notified`, event);
    },
  };
}

/** What is not wanted is not notified: a notification after news of which the other side did not want to know. */
function unwanted(findings: Findings, side: Side, by: Suppression): Check {
  const news = new Map<number, { wanted: boolean; readonly event: Located }>();
  /** A driver may make sure of what was out at a suspend by a kick of each queue after the resume. */
  const free = new Set<number>();
  return watch(findings, side, by, {
    news: (queue, wanted, event) => {
      const before = news.get(queue);
      if (before === undefined) news.set(queue, { wanted: wanted === 'wanted', event });
      else before.wanted ||= wanted === 'wanted';
    },
    notified: (queue) => {
      const about = news.get(queue);
      news.delete(queue);
      if (free.delete(queue) || about === undefined) return;
      if (about.wanted) findings.passed();
      else findings.failed(`queue ${queue} is notified though that is not wanted`, about.event);
    },
    resumed: () => {
      if (side.notification === 'kick') for (const queue of findings.session.places.keys()) free.add(queue);
    },
    over: () => news.clear(),
  });
}

const DEVICE = '§2.7.7.2';
const DRIVER = '§2.7.10.1';

/** Who notifies whom of what in a split virtqueue (§2.7.7, §2.7.10). */
export const splitNotifications: readonly Requirement[] = [
  unseen(
    'split.device.usednotif.1',
    DEVICE,
    'MUST',
    'Without VIRTIO_F_EVENT_IDX used_event means nothing.',
    'What goes by the flags has not gone by used_event, which split.device.usednotif.2 and 3 say.',
  ),
  {
    id: 'split.device.usednotif.2',
    section: DEVICE,
    level: 'SHOULD NOT',
    role: 'device',
    text: 'Without VIRTIO_F_EVENT_IDX, used buffers are not notified while the available flags are 1.',
    check: (findings) => unwanted(findings, BY_DEVICE, 'flags'),
  },
  {
    id: 'split.device.usednotif.3',
    section: DEVICE,
    level: 'MUST',
    role: 'device',
    text: 'Without VIRTIO_F_EVENT_IDX, used buffers are notified while the available flags are 0.',
    check: (findings) => owed(findings, BY_DEVICE, 'flags'),
  },
  unseen(
    'split.device.usednotif.4',
    DEVICE,
    'MUST',
    'With VIRTIO_F_EVENT_IDX the low flag means nothing.',
    'It is 0 then, by split.driver.usednotif.3.',
  ),
  {
    id: 'split.device.usednotif.5',
    section: DEVICE,
    level: 'MUST',
    role: 'device',
    text: 'With VIRTIO_F_EVENT_IDX, the used buffer at used_event is notified.',
    check: (findings) => owed(findings, BY_DEVICE, 'event index'),
  },
  {
    id: 'split.device.usednotif.6',
    section: DEVICE,
    level: 'SHOULD NOT',
    role: 'device',
    text: 'With VIRTIO_F_EVENT_IDX, no other used buffer is notified.',
    check: (findings) => unwanted(findings, BY_DEVICE, 'event index'),
  },
  {
    id: 'split.driver.availnotif.1',
    section: DRIVER,
    level: 'MUST',
    role: 'driver',
    text: 'The used flags are 0 in a new queue.',
    check: ({ session, passed, failed }) => {
      /** Queues that were enabled before DRIVER_OK: until then the device writes nothing, and what is there was there. */
      const fresh = new Set<number>();
      return {
        'queue.enable': ({ queue }) => {
          if (session.driver === 'initializing') fresh.add(queue);
        },
        memory: (event) => {
          const place = splitPlace(session, event.queue);
          if (place === undefined || !fresh.has(event.queue)) return;
          const flags = u16Written(session.memory, event, fieldsOf(place).usedFlags) ?? 0;
          const isEarly = session.driver === 'initializing';
          if (isEarly && flags === 0) return;
          if (isEarly) failed(`the used flags are ${flags} before the device may write them`);
          else passed();
          fresh.delete(event.queue);
        },
        'status.write': ({ value }) => value === 0 && fresh.clear(),
      };
    },
  },
  unseen(
    'split.driver.availnotif.2',
    DRIVER,
    'MUST',
    'Without VIRTIO_F_EVENT_IDX avail_event means nothing.',
    'What goes by the flags has not gone by avail_event, which split.driver.availnotif.3 and 4 say.',
  ),
  {
    id: 'split.driver.availnotif.3',
    section: DRIVER,
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'Without VIRTIO_F_EVENT_IDX, new buffers are not kicked while the used flags are 1.',
    check: (findings) => unwanted(findings, BY_DRIVER, 'flags'),
  },
  {
    id: 'split.driver.availnotif.4',
    section: DRIVER,
    level: 'MUST',
    role: 'driver',
    text: 'Without VIRTIO_F_EVENT_IDX, new buffers are kicked while the used flags are 0.',
    check: (findings) => owed(findings, BY_DRIVER, 'flags'),
  },
  unseen(
    'split.driver.availnotif.5',
    DRIVER,
    'MUST',
    'With VIRTIO_F_EVENT_IDX the low flag means nothing.',
    'It is 0 then, by split.device.availnotif.3.',
  ),
  {
    id: 'split.driver.availnotif.6',
    section: DRIVER,
    level: 'MUST',
    role: 'driver',
    text: 'With VIRTIO_F_EVENT_IDX, the new buffer at avail_event is kicked.',
    check: (findings) => owed(findings, BY_DRIVER, 'event index'),
  },
  {
    id: 'split.driver.availnotif.7',
    section: DRIVER,
    level: 'SHOULD NOT',
    role: 'driver',
    text: 'With VIRTIO_F_EVENT_IDX, no other new buffer is kicked.',
    check: (findings) => unwanted(findings, BY_DRIVER, 'event index'),
  },
];
