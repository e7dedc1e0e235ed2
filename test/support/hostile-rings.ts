import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { INDIRECT, NEXT, RawQueue, WRITE } from './raw-queue.ts';

export const QUEUE_SIZE = 8;
export const MEMORY_BYTES = 0x10000;
/** A legal device-writable buffer, that of the good requests. */
export const GOOD = { address: 0x8000, length: 32 };
/** Room for the buffers of bad requests. */
export const BUFFER = 0x9000;
const TABLE = 0xa008;
/** What all memory holds that was not set up. */
export const POISON = 0xa5;

/** One way in which a driver can break the rules of §2.7. */
export interface HostileRing {
  readonly name: string;
  readonly rule: string;
  /** INDIRECT_DESC is not negotiated. */
  readonly withoutIndirect?: true;
  /** Sets up one request whose head is descriptor 1; descriptor 0 is that of the good request. */
  set(queue: RawQueue): void;
}

/** Poisoned memory with a queue in it. The memory ends with a region that is far away. */
export function hostileQueue(): RawQueue {
  const memory = new GuestMemory();
  memory.add(0, new Uint8Array(MEMORY_BYTES).fill(POISON));
  memory.add(2 ** 40, new Uint8Array(0x1000).fill(POISON));
  const queue = new RawQueue(memory, QUEUE_SIZE, 0);
  memory.regions[0]!.bytes.fill(0, 0, queue.end);
  return queue.descriptor(0, { ...GOOD, flags: WRITE });
}

const buffer = { address: BUFFER, length: 64 };

function outside(name: string, address: number | bigint, length: number): HostileRing {
  return {
    name: `a buffer ${name}`,
    rule: 'split.driver.desc.memory',
    set: (queue) => queue.descriptor(1, { address, length, flags: WRITE }).offer(1),
  };
}

function table(name: string, rule: string, address: number | bigint, length: number): HostileRing {
  return { name, rule, set: (queue) => queue.descriptor(1, { address, length, flags: INDIRECT }).offer(1) };
}

const heads: readonly HostileRing[] = [QUEUE_SIZE, QUEUE_SIZE + 1, 0x7fff, 0xffff].map((head) => ({
  name: `head ${head} of ${QUEUE_SIZE}`,
  rule: 'split.driver.avail.head',
  set: (queue) => queue.offer(head),
}));

const indices: readonly HostileRing[] = [
  {
    name: 'an available index that jumps',
    rule: 'split.driver.avail.1',
    set: (q) => (q.availableIndex += QUEUE_SIZE + 2),
  },
  { name: 'an available index half way round', rule: 'split.driver.avail.1', set: (q) => (q.availableIndex += 0x8000) },
  { name: 'an available index that goes back', rule: 'split.driver.avail.1', set: (q) => (q.availableIndex -= 1) },
];

const links: readonly HostileRing[] = [
  ...[QUEUE_SIZE, 0xffff].map((next) => ({
    name: `a descriptor that goes on at ${next}`,
    rule: 'split.driver.desc.next',
    set: (queue: RawQueue) => queue.descriptor(1, { ...buffer, flags: NEXT, next }).offer(1),
  })),
  {
    name: 'a descriptor that goes on at itself',
    rule: 'split.driver.indirect.3',
    set: (queue) => queue.descriptor(1, { ...buffer, flags: NEXT, next: 1 }).offer(1),
  },
  {
    name: 'a loop of empty descriptors',
    rule: 'split.driver.indirect.3',
    set: (queue) =>
      queue
        .descriptor(1, { address: 0, length: 0, flags: NEXT, next: 2 })
        .descriptor(2, { address: 0, length: 0, flags: NEXT, next: 1 })
        .offer(1),
  },
  {
    name: 'a loop of device-writable descriptors',
    rule: 'split.driver.indirect.3',
    set: (queue) => {
      for (let n = 1; n < QUEUE_SIZE; n++) {
        queue.descriptor(n, { ...buffer, flags: NEXT | WRITE, next: n === QUEUE_SIZE - 1 ? 1 : n + 1 });
      }
      queue.offer(1);
    },
  },
  {
    name: 'a device-readable descriptor after a device-writable one',
    rule: 'split.driver.framing.1',
    set: (queue) =>
      queue
        .descriptor(1, { ...buffer, flags: WRITE | NEXT, next: 2 })
        .descriptor(2, { ...buffer })
        .offer(1),
  },
];

const buffers: readonly HostileRing[] = [
  outside('behind the memory', MEMORY_BYTES, 1),
  outside('across the end of the memory', MEMORY_BYTES - 4, 8),
  outside('across the end of a far region', 2 ** 40 + 0xfff, 2),
  outside('before a far region', 2 ** 40 - 1, 2),
  outside('of 4 GiB', 0, 0xffff_ffff),
  outside('at 2^53', 2n ** 53n, 16),
  outside('at 2^53 that would round to a legal address if cut to 32 bits', 2n ** 53n + BigInt(BUFFER), 16),
  outside('at 2^32 above a legal one', 2n ** 32n + BigInt(BUFFER), 16),
  outside('at the end of 64 bits', 2n ** 64n - 1n, 1),
  outside('that wraps around 64 bits', 2n ** 64n - 8n, 16),
  outside('at 2^63', 2n ** 63n, 16),
];

const tables: readonly HostileRing[] = [
  { ...table('an indirect table without the feature', 'split.driver.indirect.1', TABLE, 16), withoutIndirect: true },
  table('an empty indirect table', 'split.driver.indirect.length', TABLE, 0),
  table('an indirect table of 8 bytes', 'split.driver.indirect.length', TABLE, 8),
  table('an indirect table of 17 bytes', 'split.driver.indirect.length', TABLE, 17),
  table('an indirect table of 2^32 - 1 bytes', 'split.driver.indirect.length', TABLE, 0xffff_ffff),
  table('an indirect table of almost 4 GiB', 'split.driver.desc.memory', TABLE, 0xffff_fff0),
  table('an indirect table across the end', 'split.driver.desc.memory', MEMORY_BYTES - 16, 32),
  table('an indirect table at 2^53', 'split.driver.desc.memory', 2n ** 53n, 16),
  {
    name: 'INDIRECT with NEXT',
    rule: 'split.driver.indirect.4',
    set: (queue) =>
      queue
        .entry(TABLE, 0, { ...buffer })
        .descriptor(1, { address: TABLE, length: 16, flags: INDIRECT | NEXT, next: 2 })
        .offer(1),
  },
  {
    name: 'an indirect descriptor in an indirect table',
    rule: 'split.driver.indirect.2',
    set: (queue) =>
      queue
        .entry(TABLE, 0, { address: TABLE + 16, length: 16, flags: INDIRECT })
        .entry(TABLE, 1, { ...buffer })
        .descriptor(1, { address: TABLE, length: 32, flags: INDIRECT })
        .offer(1),
  },
  {
    name: 'an indirect table that goes on behind its end',
    rule: 'split.driver.desc.next',
    set: (queue) =>
      queue
        .entry(TABLE, 0, { ...buffer, flags: NEXT, next: 2 })
        .descriptor(1, { address: TABLE, length: 32, flags: INDIRECT })
        .offer(1),
  },
  {
    name: 'an indirect table that goes on at itself',
    rule: 'split.driver.indirect.3',
    set: (queue) =>
      queue
        .entry(TABLE, 0, { ...buffer, flags: NEXT, next: 0 })
        .descriptor(1, { address: TABLE, length: 16, flags: INDIRECT })
        .offer(1),
  },
  {
    name: 'an indirect table with more descriptors than the queue',
    rule: 'split.driver.indirect.3',
    set: (queue) => {
      for (let n = 0; n <= QUEUE_SIZE; n++) {
        queue.entry(TABLE, n, { ...buffer, flags: n === QUEUE_SIZE ? 0 : NEXT, next: n + 1 });
      }
      queue.descriptor(1, { address: TABLE, length: 16 * (QUEUE_SIZE + 1), flags: INDIRECT }).offer(1);
    },
  },
  {
    name: 'a chain that is too long with its indirect table',
    rule: 'split.driver.indirect.3',
    set: (queue) => {
      for (let n = 0; n < QUEUE_SIZE; n++) {
        queue.entry(TABLE, n, { ...buffer, flags: n === QUEUE_SIZE - 1 ? 0 : NEXT, next: n + 1 });
      }
      queue
        .descriptor(1, { ...buffer, flags: NEXT, next: 2 })
        .descriptor(2, { address: TABLE, length: 16 * QUEUE_SIZE, flags: INDIRECT })
        .offer(1);
    },
  },
  {
    name: 'an indirect table that lies on the descriptor table',
    rule: 'split.driver.indirect.2',
    set: (queue) => queue.descriptor(1, { address: 16, length: 16, flags: INDIRECT }).offer(1),
  },
];

export const hostileRings: readonly HostileRing[] = [...heads, ...indices, ...links, ...buffers, ...tables];
