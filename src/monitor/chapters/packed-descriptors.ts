import { Feature } from '../../spec/features.ts';
import { Mmio } from '../../spec/mmio.ts';
import { PackedDescriptor, PackedFlag } from '../../spec/packed-ring.ts';
import { chainIn } from '../chains.ts';
import type { QueuePlace } from '../ring-memory.ts';
import type { Check, Findings, Rule } from '../rule.ts';
import type { Session } from '../session.ts';
import type { BufferAvailable, Located, MemoryAccess, MmioAccess, PciAccess } from '../trace.ts';
import { changedDescriptors } from './ring-entries.ts';

function packedPlace(session: Session, queue: number): QueuePlace | undefined {
  return session.has(Feature.RING_PACKED) ? session.places.get(queue) : undefined;
}

/** A list that is out: the event that made it available, and how many descriptors it has. */
interface List {
  readonly event: Located<BufferAvailable>;
  readonly slots: number;
}

/** The descriptors of one packed queue that are out: from the first one on that the device has not passed. */
class Out {
  /** Where the driver goes on, and with which wrap counter. */
  next = 0;
  wrap = 1;
  readonly #size: number;
  /** By buffer id, in the order of the ring. */
  readonly #lists = new Map<number, List>();
  #slots = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(list: List): void {
    const { event, slots } = list;
    const at = event.at!;
    this.next = (at + slots) % this.#size;
    if (at + slots >= this.#size) this.wrap ^= 1;
    this.#lists.set(event.id, list);
    this.#slots += slots;
  }

  /** In order, one used descriptor may stand for all lists before it. */
  use(id: number, order: 'in order' | 'in any order'): boolean {
    if (!this.#lists.has(id)) return false;
    for (const [other, { slots }] of this.#lists) {
      if (other !== id && order === 'in any order') continue;
      this.#lists.delete(other);
      this.#slots -= slots;
      if (other === id) break;
    }
    return true;
  }

  /** The list that was made available with a descriptor that is out, or another one that is out if that was used since. */
  at(index: number): List | undefined {
    const distance = (this.next - index + this.#size) % this.#size || this.#size;
    if (distance > this.#slots) return undefined;
    const [oldest] = this.#lists.values();
    const own = [...this.#lists.values()].find(
      ({ event, slots }) => (index - event.at! + this.#size) % this.#size < slots,
    );
    return own ?? oldest;
  }
}

/** Follows what is out of every packed queue of a trace; what a rule adds is told before. */
function following(
  { session }: Findings,
  rule: (queues: ReadonlyMap<number, Out>) => Check & { readonly used?: () => void },
): Check {
  const queues = new Map<number, Out>();
  const { used, ...check } = rule(queues);
  return {
    ...check,
    'queue.enable': ({ queue, size }) => {
      if (session.has(Feature.RING_PACKED) && size !== undefined) queues.set(queue, new Out(size));
    },
    'buffer.available': (event) => {
      const place = packedPlace(session, event.queue);
      if (place === undefined || event.at === undefined) return;
      const slots = Math.min(chainIn(session.memory, place, event.at, 'packed').length, place.size);
      queues.get(event.queue)?.add({ event, slots });
    },
    'buffer.used': ({ queue, id }) => {
      const order = session.has(Feature.IN_ORDER) ? 'in order' : 'in any order';
      if (queues.get(queue)?.use(id, order) === true) used?.();
    },
    'queue.reset': ({ queue }) => {
      queues.delete(queue);
    },
    'device.phase': ({ to }) => to === 'resetting' && queues.clear(),
  };
}

/** A byte of a descriptor after a write. */
function byteAfter(session: Session, at: number, { address, bytes }: MemoryAccess): number {
  const position = 2 * (at - address);
  const written = position < 0 ? '' : bytes!.slice(position, position + 2);
  return written === '' ? session.memory.u8(at) : Number.parseInt(written, 16);
}

function flagsAfter(session: Session, { descriptor }: QueuePlace, event: MemoryAccess, index: number): number {
  const at = descriptor + PackedDescriptor.SIZE * index + PackedDescriptor.FLAGS;
  return byteAfter(session, at, event) + byteAfter(session, at + 1, event) * 0x100;
}

function isUsed(flags: number): boolean {
  return ((flags & PackedFlag.AVAILABLE) !== 0) === ((flags & PackedFlag.USED) !== 0);
}

/** How a write changes a descriptor: by another AVAIL flag, by other flags or another address, or by neither. */
function changeOf(session: Session, place: QueuePlace, event: MemoryAccess, index: number): 'anew' | 'else' | 'no' {
  const at = place.descriptor + PackedDescriptor.SIZE * index;
  const before = session.memory.u16(at + PackedDescriptor.FLAGS);
  const after = flagsAfter(session, place, event, index);
  if (((before ^ after) & PackedFlag.AVAILABLE) !== 0) return 'anew';
  const address = [0, 1, 2, 3, 4, 5, 6, 7].map((offset) => at + PackedDescriptor.ADDRESS + offset);
  const isElsewhere = address.some((byte) => byteAfter(session, byte, event) !== session.memory.u8(byte));
  return before !== after || isElsewhere ? 'else' : 'no';
}

/**
 * What is out is not changed. Of length and id alone nothing is said: a device that is writing them, and has not come to the
 * flags, looks the same.
 */
function descriptorsStay(rule: Pick<Rule, 'id' | 'text'>, change: 'anew' | 'else', what: string): Rule {
  return {
    ...rule,
    section: '§2.8.16',
    level: 'MUST NOT',
    role: 'driver',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return following(findings, (queues) => ({
        used: passed,
        memory: (event) => {
          const place = packedPlace(session, event.queue);
          const out = queues.get(event.queue);
          if (place === undefined || out === undefined || event.by !== 'driver' || event.access !== 'write') return;
          for (const index of changedDescriptors(session.memory, place, event)) {
            const list = out.at(index);
            if (list === undefined || changeOf(session, place, event, index) !== change) continue;
            failed(`descriptor ${index} ${what} while buffer ${list.event.id} is out`, list.event);
          }
        },
      }));
    },
  };
}

/** Where a notification with data says that the next descriptor will be; undefined for what is none, or names no queue. */
function nextOf(
  session: Session,
  event: MmioAccess | PciAccess,
): { readonly queue: number; readonly next: number } | undefined {
  if (event.access !== 'write' || event.width !== 4 || !session.has(Feature.NOTIFICATION_DATA)) return undefined;
  if (session.has(Feature.NOTIF_CONFIG_DATA)) return undefined;
  const isKick = event.kind === 'mmio' ? event.offset === Mmio.QUEUE_NOTIFY : event.structure === 'notify';
  return isKick ? { queue: event.value & 0xffff, next: event.value >>> 16 } : undefined;
}

/** What was used stays as it is until the driver makes it available anew. */
export const usedDescriptorsStay: Rule = {
  id: 'packed.device.desc.4',
  section: '§2.8.15',
  level: 'MUST NOT',
  role: 'device',
  text: 'A descriptor that was used is not changed any more.',
  check: ({ session, passed, failed }) => {
    const used = new Map<string, Located>();
    const forget = (queue: number): void => {
      for (const key of used.keys()) if (key.startsWith(`${queue}:`)) used.delete(key);
    };
    return {
      memory: (event) => {
        const place = packedPlace(session, event.queue);
        if (place === undefined || event.access !== 'write') return;
        for (const index of changedDescriptors(session.memory, place, event)) {
          const key = `${event.queue}:${index}`;
          const before = used.get(key);
          if (event.by === 'driver') used.delete(key);
          else if (before !== undefined) failed(`descriptor ${index} is changed after it was used`, before);
          else if (isUsed(flagsAfter(session, place, event, index))) {
            used.set(key, event);
            passed();
          }
        }
      },
      'queue.enable': ({ queue }) => forget(queue),
    };
  },
};

export const availableDescriptorsStay: readonly Rule[] = [
  descriptorsStay(
    { id: 'packed.driver.desc.1', text: 'A descriptor is not changed before it was used.' },
    'anew',
    'is made available anew',
  ),
  descriptorsStay(
    { id: 'packed.driver.desc.2', text: 'A descriptor that is available is not changed any more.' },
    'else',
    'is changed',
  ),
];

export const nextDescriptor: Rule = {
  id: 'packed.driver.desc.3',
  section: '§2.8.16',
  level: 'MUST',
  role: 'driver',
  text: 'A notification with data says where the next descriptor will be.',
  check: (findings) => {
    const { session, passed, failed } = findings;
    return following(findings, (queues) => {
      const look = (event: MmioAccess | PciAccess): void => {
        const said = nextOf(session, event);
        const out = said === undefined ? undefined : queues.get(said.queue);
        if (said === undefined || out === undefined) return;
        const expected = out.next | (out.wrap << 15);
        if (said.next === expected) passed();
        else
          failed(
            `the next descriptor is said to be at 0x${said.next.toString(16)}, and is at 0x${expected.toString(16)}`,
          );
      };
      return { mmio: look, pci: look };
    });
  },
};
