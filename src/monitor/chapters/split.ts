import { Feature } from '../../spec/features.ts';
import { DescriptorFlag, SPLIT_ALIGNMENT, splitAreas } from '../../spec/split-ring.ts';
import { type ChainDescriptor, indirectOf, segmentsOf } from '../chains.ts';
import { u16Written } from '../ring-memory.ts';
import type { Level, Requirement, Rule } from '../rule.ts';
import { fieldsOf, splitPlace } from '../split-ring.ts';
import type { BufferAvailable, Role } from '../trace.ts';
import { writableIsNotRead } from './buffer-reads.ts';
import { chainRule, isMixed, tableRule } from './chain-rules.ts';
import { emptyInterrupt, emptyKick } from './empty-notifications.ts';

/** A requirement of which a trace shows nothing. */
export function unseen(id: string, section: string, level: Level, text: string, why: string): Requirement {
  return { id, section, level, role: id.split('.')[1] as Role, text, unseen: why };
}

export const PERMISSION = 'A permission, which nobody can break.';
/** Of buffers that are out. */
export const OWN_BUFFERS =
  'A driver may change what it has offered, and memory does not show which of the two wrote there.';
const BARRIER = 'Barriers leave no trace.';

function has({ flags }: ChainDescriptor, flag: number): boolean {
  return (flags & flag) !== 0;
}

/** A field of the flags of one end's area: which values it may have. */
function flagsRule(
  rule: Pick<Rule, 'id' | 'section' | 'role' | 'text'>,
  field: 'availableFlags' | 'usedFlags',
  eventIdx: 'with' | 'without',
): Rule {
  return {
    ...rule,
    level: 'MUST',
    check: ({ session, passed, failed }) => ({
      memory: (event) => {
        const place = splitPlace(session, event.queue);
        if (place === undefined || session.has(Feature.EVENT_IDX) !== (eventIdx === 'with')) return;
        const flags = u16Written(session.memory, event, fieldsOf(place)[field]);
        if (flags === undefined) return;
        if (flags <= (eventIdx === 'with' ? 0 : 1)) passed();
        else failed(`the flags are ${flags}`);
      },
    }),
  };
}

/** A used length is no longer than the device-writable part of its buffer. */
export function usedLength(format: 'split' | 'packed', rule: Pick<Rule, 'id' | 'section' | 'text'>): Rule {
  return {
    ...rule,
    level: 'MUST',
    role: 'device',
    check: ({ session, passed, failed }) => {
      const out = new Map<string, BufferAvailable & { readonly line: number }>();
      return {
        'buffer.available': (event) => {
          out.set(`${event.queue}:${event.id}`, event);
        },
        'buffer.used': ({ queue, id, written }) => {
          const buffer = out.get(`${queue}:${id}`);
          out.delete(`${queue}:${id}`);
          if (buffer?.writable === undefined || session.has(Feature.RING_PACKED) !== (format === 'packed')) return;
          if (written <= buffer.writable) passed();
          else failed(`${written} bytes are used of ${buffer.writable}`, buffer);
        },
      };
    },
  };
}

/** Layout, chains and indices of split virtqueues (§2.7). */
export const split: readonly Requirement[] = [
  {
    id: 'split.driver.layout.1',
    section: '§2.7.1',
    level: 'MUST',
    role: 'driver',
    text: 'The three parts of a queue begin at multiples of 16, 2 and 4.',
    check: ({ session, passed, failed }) => ({
      'queue.enable': (event) => {
        if (session.has(Feature.RING_PACKED)) return;
        const areas = ['descriptor', 'driver', 'device'] as const;
        const wrong = areas.filter((area) => (event[area] ?? 0) % SPLIT_ALIGNMENT[area] !== 0);
        if (wrong.length === 0) passed();
        else failed(`the ${wrong.join(' and ')} area is not aligned`);
      },
    }),
  },
  unseen(
    'split.device.framing.1',
    '§2.7.4.1',
    'MUST NOT',
    'How a message is divided over descriptors makes no difference.',
    'What makes a difference to a device is inside it.',
  ),
  unseen(
    'split.device.framing.2',
    '§2.7.4.1',
    'MAY',
    'A device may have a limit for the descriptors of a chain.',
    PERMISSION,
  ),
  chainRule(
    {
      id: 'split.driver.framing.1',
      section: '§2.7.4.2',
      level: 'MUST',
      text: 'What the device writes comes after what it reads.',
    },
    (chain, { session }, event) => {
      const { size } = session.places.get(event.queue)!;
      const segments = segmentsOf(chain, size, 'split', session.contentsOf(event, 'driver')?.table);
      if (segments === undefined) return 'other';
      return isMixed(segments) ? 'a device-readable descriptor follows a device-writable one' : undefined;
    },
  ),
  unseen(
    'split.driver.framing.2',
    '§2.7.4.2',
    'SHOULD NOT',
    'A buffer has no more descriptors than it needs.',
    'How many it needs is a matter of the driver.',
  ),
  unseen('split.device.desc.1', '§2.7.5.1', 'MUST NOT', 'Nothing is written to device-readable buffers.', OWN_BUFFERS),
  writableIsNotRead('split', '§2.7.5.1'),
  unseen('split.device.desc.3', '§2.7.5.1', 'MAY', 'They may be read for debugging.', PERMISSION),
  {
    id: 'split.device.desc.4',
    section: '§2.7.5.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'The descriptor table is not written.',
    check: ({ session, passed, failed }) => ({
      memory: ({ by, access, queue, address }) => {
        const place = splitPlace(session, queue);
        if (place === undefined || by !== 'device' || access !== 'write') return;
        const offset = address - place.descriptor;
        if (offset >= 0 && offset < splitAreas(place.size).descriptor) failed(`the table of queue ${queue} is written`);
        else passed();
      },
    }),
  },
  chainRule(
    { id: 'split.driver.desc.1', section: '§2.7.5.2', level: 'MUST NOT', text: 'A chain has no more than 2^32 bytes.' },
    (chain, { session }, event) => {
      // One without an end is for split.driver.indirect.3.
      const { size } = session.places.get(event.queue)!;
      const segments = segmentsOf(chain, size, 'split', session.contentsOf(event, 'driver')?.table);
      if (segments === undefined) return 'other';
      const bytes = segments.reduce((sum, { length }) => sum + length, 0);
      return bytes > 2 ** 32 ? `a chain of ${bytes} bytes` : undefined;
    },
  ),
  chainRule(
    {
      id: 'split.driver.desc.2',
      section: '§2.7.5.2',
      level: 'MUST',
      text: 'With VIRTIO_F_IN_ORDER a chain goes on at the next descriptor, after the last one at the first.',
    },
    (chain, { session }, { queue }) => {
      const { size } = session.places.get(queue)!;
      if (!session.has(Feature.IN_ORDER) || chain.length > size) return 'other';
      const jump = chain.find((d) => has(d, DescriptorFlag.NEXT) && d.next !== (d.index + 1) % size);
      return jump === undefined ? undefined : `descriptor ${jump.index} goes on at ${jump.next}`;
    },
  ),
  chainRule(
    {
      id: 'split.driver.indirect.1',
      section: '§2.7.5.3.1',
      level: 'MUST NOT',
      text: 'Without VIRTIO_F_INDIRECT_DESC no descriptor is indirect.',
    },
    (chain, { session }) => {
      if (session.has(Feature.INDIRECT_DESC)) return 'other';
      return chain.some((d) => has(d, DescriptorFlag.INDIRECT)) ? 'a descriptor is indirect' : undefined;
    },
  ),
  tableRule(
    'split',
    {
      id: 'split.driver.indirect.2',
      section: '§2.7.5.3.1',
      level: 'MUST NOT',
      text: 'An indirect table has no indirect descriptors.',
    },
    (table) => (indirectOf(table) === undefined ? undefined : 'an entry of an indirect table is indirect itself'),
  ),
  chainRule(
    {
      id: 'split.driver.indirect.3',
      section: '§2.7.5.3.1',
      level: 'MUST NOT',
      text: 'A chain is not longer than its queue.',
    },
    (chain, { session }, { queue }) => {
      return chain.length > session.places.get(queue)!.size
        ? 'a chain is longer than its queue, or has no end'
        : undefined;
    },
  ),
  chainRule(
    {
      id: 'split.driver.indirect.4',
      section: '§2.7.5.3.1',
      level: 'MUST NOT',
      text: 'No descriptor has INDIRECT and NEXT both.',
    },
    (chain) => {
      const both = DescriptorFlag.INDIRECT | DescriptorFlag.NEXT;
      return chain.some(({ flags }) => (flags & both) === both) ? 'a descriptor has INDIRECT and NEXT' : undefined;
    },
  ),
  tableRule(
    'split',
    {
      id: 'split.driver.indirect.5',
      section: '§2.7.5.3.1',
      level: 'MUST',
      text: 'With VIRTIO_F_IN_ORDER the descriptors of an indirect table follow each other.',
    },
    (table, { session }) => {
      if (!session.has(Feature.IN_ORDER)) return 'other';
      const jump = table.find((d) => has(d, DescriptorFlag.NEXT) && d.next !== d.index + 1);
      return jump === undefined ? undefined : `entry ${jump.index} of an indirect table goes on at ${jump.next}`;
    },
  ),
  unseen(
    'split.device.indirect.1',
    '§2.7.5.3.2',
    'MUST',
    'WRITE means nothing in a descriptor that refers to an indirect table.',
    'A device that stumbles over it fails the request or wants a reset, and may do so for another reason.',
  ),
  unseen(
    'split.device.indirect.2',
    '§2.7.5.3.2',
    'MUST',
    'A chain may end in an indirect descriptor.',
    'A device that cannot do with it fails the request or wants a reset, and may do so for another reason.',
  ),
  {
    id: 'split.driver.avail.1',
    section: '§2.7.6.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The available index does not go back.',
    check: ({ session, passed, failed }) => ({
      memory: (event) => {
        const place = splitPlace(session, event.queue);
        if (place === undefined) return;
        const { availableIndex } = fieldsOf(place);
        const now = u16Written(session.memory, event, availableIndex);
        const before = session.memory.u16(availableIndex);
        if (now === undefined || now === before) return;
        if (((now - before) & 0xffff) <= place.size) passed();
        else failed(`the index goes from ${before} to ${now}`);
      },
    }),
  },
  unseen(
    'split.device.used.1',
    '§2.7.8.2',
    'MUST',
    'The length of a used entry is there before the index shows it.',
    'A trace sees both in one write, and a length that is written later looks like the next entry in its place.',
  ),
  usedLength('split', {
    id: 'split.device.used.2',
    section: '§2.7.8.2',
    text: 'As many bytes are written as the used entry says: no more than there is room for.',
  }),
  unseen('split.device.used.3', '§2.7.8.2', 'MAY', 'More may be written than the used entry says.', PERMISSION),
  unseen(
    'split.driver.used.1',
    '§2.7.8.3',
    'MUST NOT',
    'Nothing is taken for granted about what lies behind the used length.',
    'What a driver takes for granted is inside it.',
  ),
  unseen(
    'split.driver.used.2',
    '§2.7.8.3',
    'SHOULD',
    'What lies behind the used length is ignored.',
    'What a driver reads of its own memory leaves no trace.',
  ),
  flagsRule(
    {
      id: 'split.driver.usednotif.1',
      section: '§2.7.7.1',
      role: 'driver',
      text: 'Without VIRTIO_F_EVENT_IDX the available flags are 0 or 1.',
    },
    'availableFlags',
    'without',
  ),
  unseen(
    'split.driver.usednotif.2',
    '§2.7.7.1',
    'MAY',
    'The flag may say that used buffer notifications are not wanted.',
    PERMISSION,
  ),
  flagsRule(
    {
      id: 'split.driver.usednotif.3',
      section: '§2.7.7.1',
      role: 'driver',
      text: 'With VIRTIO_F_EVENT_IDX the available flags are 0.',
    },
    'availableFlags',
    'with',
  ),
  unseen(
    'split.driver.usednotif.4',
    '§2.7.7.1',
    'MAY',
    'The driver may say by used_event which used buffer is to be notified.',
    PERMISSION,
  ),
  emptyInterrupt,
  flagsRule(
    {
      id: 'split.device.availnotif.1',
      section: '§2.7.10.2',
      role: 'device',
      text: 'Without VIRTIO_F_EVENT_IDX the used flags are 0 or 1.',
    },
    'usedFlags',
    'without',
  ),
  unseen('split.device.availnotif.2', '§2.7.10.2', 'MAY', 'The flag may say that kicks are not wanted.', PERMISSION),
  flagsRule(
    {
      id: 'split.device.availnotif.3',
      section: '§2.7.10.2',
      role: 'device',
      text: 'With VIRTIO_F_EVENT_IDX the used flags are 0.',
    },
    'usedFlags',
    'with',
  ),
  unseen(
    'split.device.availnotif.4',
    '§2.7.10.2',
    'MAY',
    'The device may say by avail_event at which buffer a kick is wanted.',
    PERMISSION,
  ),
  emptyKick,
  unseen('split.driver.idx.1', '§2.7.13.3.1', 'MUST', 'A barrier comes before the new available index.', BARRIER),
  unseen('split.driver.kick.1', '§2.7.13.4.1', 'MUST', 'A barrier comes before the look at whether to kick.', BARRIER),
];
