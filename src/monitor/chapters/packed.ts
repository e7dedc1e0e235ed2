import { DeviceId } from '../../spec/device-ids.ts';
import { Feature } from '../../spec/features.ts';
import { PACKED_ALIGNMENT, PackedFlag } from '../../spec/packed-ring.ts';
import { BlockFeature, BlockField } from '../block-format.ts';
import { type ChainDescriptor, chainIn, segmentsOf } from '../chains.ts';
import type { Findings, Requirement, Rule } from '../rule.ts';
import type { Session } from '../session.ts';
import type { BufferAvailable, Located } from '../trace.ts';
import { writableIsNotRead } from './buffer-reads.ts';
import { isMixed, tableRule } from './chain-rules.ts';
import { availableDescriptorsStay, nextDescriptor, usedDescriptorsStay } from './packed-descriptors.ts';
import { OWN_BUFFERS, PERMISSION, unseen, usedLength } from './split.ts';

const BARRIER = 'Barriers leave no trace.';
const ROOM = 'A list for which there is no room is for the next rule; what else a driver waits for is inside it.';

/** The descriptors of a list in a packed ring, one more than the queue has at most: then it is too long. */
function listOf(session: Session, { queue, at }: BufferAvailable): readonly ChainDescriptor[] {
  const place = session.places.get(queue);
  if (place === undefined || at === undefined || !session.has(Feature.RING_PACKED)) return [];
  return chainIn(session.memory, place, at, 'packed');
}

/** What each list has to be that a driver makes available; `mistake` says what is wrong with one. */
function listRule(
  rule: Pick<Rule, 'id' | 'section' | 'level' | 'text'>,
  mistake: (
    list: readonly ChainDescriptor[],
    findings: Findings,
    event: BufferAvailable,
  ) => string | undefined | 'other',
): Rule {
  return {
    ...rule,
    role: 'driver',
    check: (findings) => ({
      'buffer.available': (event) => {
        const list = listOf(findings.session, event);
        if (list.length === 0) return;
        const wrong = mistake(list, findings, event);
        if (wrong === undefined) findings.passed();
        else if (wrong !== 'other') findings.failed(wrong);
      },
    }),
  };
}

function has({ flags }: ChainDescriptor, flag: number): boolean {
  return (flags & flag) !== 0;
}

/** What a device allows only that of a disk says, of the segments between header and status; others go by the size of the queue. */
function tooLong(list: readonly ChainDescriptor[], session: Session): string | undefined | 'other' {
  const isDisk = session.header.device === DeviceId.BLOCK && session.has(BlockFeature.SEG_MAX);
  const segments = isDisk ? session.configured(BlockField.SEG_MAX, 4) : undefined;
  if (segments === undefined || segments === 0 || list.some((link) => has(link, PackedFlag.INDIRECT))) return 'other';
  const most = segments + 2;
  return list.length <= most ? undefined : `${list.length} descriptors, and the device allows ${most}`;
}

/** The buffers of a packed queue that wait for the device, or are with it. */
class Waiting {
  readonly #queues = new Map<
    number,
    Map<number, { readonly event: Located; readonly slots: number; taken: boolean }>
  >();

  of(queue: number): Map<number, { readonly event: Located; readonly slots: number; taken: boolean }> {
    const known = this.#queues.get(queue) ?? new Map();
    this.#queues.set(queue, known);
    return known;
  }

  clear(): void {
    this.#queues.clear();
  }
}

/** Packed virtqueues (§2.8). */
export const packed: readonly Requirement[] = [
  {
    id: 'packed.driver.layout.1',
    section: '§2.8.11',
    level: 'MUST',
    role: 'driver',
    text: 'The three parts of a queue begin at multiples of 16, 4 and 4.',
    check: ({ session, passed, failed }) => ({
      'queue.enable': (event) => {
        if (!session.has(Feature.RING_PACKED)) return;
        const areas = ['descriptor', 'driver', 'device'] as const;
        const wrong = areas.filter((area) => (event[area] ?? 0) % PACKED_ALIGNMENT[area] !== 0);
        if (wrong.length === 0) passed();
        else failed(`the ${wrong.join(' and ')} area is not aligned`);
      },
    }),
  },
  {
    id: 'packed.device.order.1',
    section: '§2.8.12',
    level: 'MUST',
    role: 'device',
    text: 'Buffers are begun in the order in which they are in the ring.',
    check: ({ session, passed, failed }) => {
      const waiting = new Waiting();
      return {
        'buffer.available': (event) => {
          if (session.has(Feature.RING_PACKED))
            waiting.of(event.queue).set(event.id, { event, slots: 1, taken: false });
        },
        'buffer.taken': ({ queue, id }) => {
          const buffers = waiting.of(queue);
          const next = [...buffers.entries()].find(([, { taken }]) => !taken);
          const buffer = buffers.get(id);
          // One that was given back is taken once more.
          if (buffer === undefined || buffer.taken || next === undefined) return;
          buffer.taken = true;
          if (next[0] === id) passed();
          else failed(`buffer ${id} is begun before buffer ${next[0]}`, next[1].event);
        },
        'buffer.used': ({ queue, id }) => {
          waiting.of(queue).delete(id);
        },
        'queue.reset': ({ queue }) => waiting.of(queue).clear(),
        'device.phase': ({ to }) => to === 'resetting' && waiting.clear(),
      };
    },
  },
  unseen(
    'packed.device.order.2',
    '§2.8.12',
    'MUST',
    'Used descriptors are begun in the order in which buffers complete.',
    'When a buffer completes is inside the device.',
  ),
  unseen('packed.device.order.3', '§2.8.12', 'MAY', 'Writes that were begun may change places.', PERMISSION),
  unseen('packed.device.desc.1', '§2.8.15', 'MUST NOT', 'Nothing is written to device-readable buffers.', OWN_BUFFERS),
  writableIsNotRead('packed', '§2.8.15'),
  unseen(
    'packed.device.desc.3',
    '§2.8.15',
    'MUST NOT',
    'No descriptor is used before it was made available.',
    'To use one that was not is packed.device.used.id.',
  ),
  usedDescriptorsStay,
  ...availableDescriptorsStay,
  nextDescriptor,
  unseen('packed.driver.desc.4', '§2.8.16', 'MAY', 'There may be kicks without a new buffer.', PERMISSION),
  listRule(
    {
      id: 'packed.driver.sg.1',
      section: '§2.8.17',
      level: 'MUST NOT',
      text: 'No list is longer than the device allows.',
    },
    (list, { session }) => tooLong(list, session),
  ),
  listRule(
    { id: 'packed.driver.sg.2', section: '§2.8.17', level: 'MUST NOT', text: 'No list is longer than its queue.' },
    (list, { session }, { queue }) => {
      return list.length > session.places.get(queue)!.size ? 'a list is longer than its queue' : undefined;
    },
  ),
  listRule(
    {
      id: 'packed.driver.sg.3',
      section: '§2.8.17',
      level: 'MUST',
      text: 'What the device writes comes after what it reads.',
    },
    (list, { session }, event) => {
      const { size } = session.places.get(event.queue)!;
      const segments = segmentsOf(list, size, 'packed', session.contentsOf(event, 'driver')?.table);
      if (segments === undefined) return 'other';
      return isMixed(segments) ? 'a device-readable descriptor follows a device-writable one' : undefined;
    },
  ),
  unseen('packed.driver.sg.4', '§2.8.17', 'MUST NOT', 'A list does not wait for the device to free descriptors.', ROOM),
  {
    id: 'packed.driver.sg.5',
    section: '§2.8.17',
    level: 'MUST',
    role: 'driver',
    text: 'There is room for a whole list before its first descriptor is made available.',
    check: ({ session, passed, failed }) => {
      const waiting = new Waiting();
      return {
        'buffer.available': (event) => {
          const size = session.places.get(event.queue)?.size;
          const slots = listOf(session, event).length;
          // One that is too long by itself is for packed.driver.sg.2.
          if (size === undefined || slots === 0 || slots > size) return;
          const buffers = waiting.of(event.queue);
          const taken = [...buffers.values()].reduce((sum, buffer) => sum + buffer.slots, 0);
          const [oldest] = buffers.values();
          if (taken + slots <= size) passed();
          else failed(`${taken + slots} descriptors are out in a queue of ${size}`, oldest?.event);
          buffers.set(event.id, { event, slots, taken: false });
        },
        'buffer.used': ({ queue, id }) => {
          waiting.of(queue).delete(id);
        },
        'queue.reset': ({ queue }) => waiting.of(queue).clear(),
        'device.phase': ({ to }) => to === 'resetting' && waiting.clear(),
      };
    },
  },
  listRule(
    {
      id: 'packed.driver.sg.6',
      section: '§2.8.17',
      level: 'MUST NOT',
      text: 'The first descriptor of a list is not available before the rest.',
    },
    (list, { session }, { queue }) => {
      if (list.length < 2 || list.length > session.places.get(queue)!.size) return 'other';
      const [first, ...rest] = list;
      const late = rest.find((link) => {
        // The driver's wrap counter is another one behind the end of the ring.
        const isSame = link.index > first!.index;
        return (
          has(link, PackedFlag.AVAILABLE) !== (has(first!, PackedFlag.AVAILABLE) === isSame) ||
          has(link, PackedFlag.USED) !== (has(first!, PackedFlag.USED) === isSame)
        );
      });
      return late === undefined ? undefined : `descriptor ${late.index} of a list is not available yet`;
    },
  ),
  unseen(
    'packed.device.sg.1',
    '§2.8.18',
    'MUST',
    'The descriptors of a list are used in their order.',
    'In which order a device reads them leaves no trace.',
  ),
  unseen(
    'packed.device.sg.2',
    '§2.8.18',
    'MAY',
    'A device may have a limit for the descriptors of a list.',
    PERMISSION,
  ),
  {
    id: 'packed.device.used.write',
    section: '§2.8.4',
    level: 'MUST',
    role: 'device',
    text: 'A used descriptor says by its flag WRITE that something was written, or its length means nothing.',
    check: ({ passed, failed }) => ({
      'buffer.used': ({ id, written, flagged }) => {
        if (flagged === undefined || written === 0) return;
        if (flagged) passed();
        else failed(`buffer ${id} is used with ${written} bytes, and without WRITE`);
      },
    }),
  },
  usedLength('packed', {
    id: 'packed.device.used.length',
    section: '§2.8.6',
    text: 'A used length is no more than there is room for.',
  }),
  listRule(
    {
      id: 'packed.driver.indirect.1',
      section: '§2.8.19',
      level: 'MUST NOT',
      text: 'Without VIRTIO_F_INDIRECT_DESC no descriptor is indirect.',
    },
    (list, { session }) => {
      if (session.has(Feature.INDIRECT_DESC)) return 'other';
      return list.some((link) => has(link, PackedFlag.INDIRECT)) ? 'a descriptor is indirect' : undefined;
    },
  ),
  tableRule(
    'packed',
    {
      id: 'packed.driver.indirect.2',
      section: '§2.8.19',
      level: 'MUST NOT',
      text: 'In an indirect table no flag but WRITE is set.',
    },
    (table) => {
      const wrong = table.find(({ flags }) => (flags & ~PackedFlag.WRITE) !== 0);
      return wrong === undefined ? undefined : `entry ${wrong.index} has the flags 0x${wrong.flags.toString(16)}`;
    },
  ),
  tableRule(
    'packed',
    {
      id: 'packed.driver.indirect.3',
      section: '§2.8.19',
      level: 'MUST NOT',
      text: 'No indirect table is longer than the device allows.',
    },
    (table, { session }) => tooLong(table, session),
  ),
  listRule(
    {
      id: 'packed.driver.indirect.4',
      section: '§2.8.19',
      level: 'MUST NOT',
      text: 'An indirect descriptor is not one of a list of several.',
    },
    (list) => {
      return list.length > 1 && list.some((link) => has(link, PackedFlag.INDIRECT))
        ? 'an indirect descriptor is in a list'
        : undefined;
    },
  ),
  unseen(
    'packed.driver.flags.1',
    '§2.8.21.1.1',
    'MUST',
    'A barrier comes before the flags that make a descriptor available.',
    BARRIER,
  ),
  unseen('packed.driver.kick.1', '§2.8.21.3.1', 'MUST', 'A barrier comes before the look at whether to kick.', BARRIER),
];
