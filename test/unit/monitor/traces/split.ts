import type { Role, TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import {
  configInterrupt,
  deviceReads,
  enable,
  goesOn,
  hex,
  inBuffer,
  kick,
  queueReset,
  read,
  starts,
  type TracesByRule,
  used,
  write,
} from '../../../support/trace-events.ts';

/** The queue of `enable` has eight entries, and its areas at 0x1000, 0x2000 and 0x3000. */
const [DESCRIPTORS, DRIVER, DEVICE] = [0x1000, 0x2000, 0x3000];
const USED_EVENT = DRIVER + 4 + 2 * 8;
const AVAILABLE_EVENT = DEVICE + 4 + 8 * 8;
const { NEXT, WRITE, INDIRECT } = { NEXT: 1, WRITE: 2, INDIRECT: 4 };

function memory(by: Role, address: number, ...words: number[]): TraceEvent {
  const bytes = hex(...words);
  return { kind: 'memory', by, access: 'write', queue: 0, address, length: bytes.length / 2, bytes };
}

/** A descriptor of 16 bytes, or with the upper half of another length. */
const descriptor = (index: number, flags = 0, next = 0, lengthHigh = 0): TraceEvent =>
  memory('driver', DESCRIPTORS + 16 * index, 0, 0, 0, 0, 16, lengthHigh, flags, next);
/** The available ring from its start. */
const available = (flags: number, index: number, ...heads: number[]): TraceEvent =>
  memory('driver', DRIVER, flags, index, ...heads);
/** The used ring from its start. */
const usedRing = (flags: number, index: number, ...entries: (readonly [id: number, written: number])[]): TraceEvent =>
  memory('device', DEVICE, flags, index, ...entries.flatMap(([id, written]) => [id, 0, written, 0]));
const usedEvent = (value: number): TraceEvent => memory('driver', USED_EVENT, value);
const availableEvent = (value: number): TraceEvent => memory('device', AVAILABLE_EVENT, value);

const begin = [enable()];
const running = [...goesOn(), ...begin];
const withFeature = (bit: number): TraceEvent[] => [...goesOn(0x0f, bit), enable()];
const withEvents = withFeature(Feature.EVENT_IDX);
/** A buffer of these descriptors. */
const buffer = (...descriptors: TraceEvent[]): TraceEvent[] => [...descriptors, available(0, 1, 0)];
const plain = buffer(descriptor(0));
const withTables = withFeature(Feature.INDIRECT_DESC);
const withTablesInOrder = [...goesOn(0x0f, Feature.INDIRECT_DESC, Feature.IN_ORDER), enable()];
/** A buffer with an indirect table of two descriptors, the first one with these flags. */
const table = (flags: number, next = 0): TraceEvent[] => [
  inBuffer({ table: hex(0, 0, 0, 0, 16, 0, flags, next, 0, 0, 0, 0, 16, 0, 0, 0) }),
  ...buffer(descriptor(0, INDIRECT)),
];
/** A buffer of 16 bytes to read at 0x5000, and 16 to write at 0x6000. */
const answered = buffer(
  memory('driver', DESCRIPTORS, 0x5000, 0, 0, 0, 16, 0, NEXT, 1),
  memory('driver', DESCRIPTORS + 16, 0x6000, 0, 0, 0, 16, 0, WRITE, 0),
);
/** Two buffers, and the first of them used. */
const two = [descriptor(0), descriptor(1), available(0, 2, 0, 1)];
const first = usedRing(0, 1, [0, 0]);
const second = usedRing(0, 2, [0, 0], [1, 0]);

export const splitTraces: TracesByRule = {
  'split.driver.layout.1': {
    pass: begin,
    fail: [{ kind: 'queue.enable', queue: 0, size: 8, descriptor: 0x1008, driver: DRIVER, device: DEVICE }],
  },
  'split.driver.framing.1': {
    pass: [...begin, ...buffer(descriptor(0, NEXT, 1), descriptor(1, WRITE))],
    fail: [...begin, ...buffer(descriptor(0, NEXT | WRITE, 1), descriptor(1))],
  },
  'split.driver.availnotif.1': {
    pass: [...starts(), ...plain],
    lawful: [[...starts(), usedRing(1, 0)]],
    fail: [...starts().slice(0, -2), usedRing(1, 0), write(0x0f), read(0x0f)],
  },
  'split.device.desc.2': {
    pass: [...running, ...answered, deviceReads(DESCRIPTORS), usedRing(0, 1, [0, 16])],
    lawful: [
      // What it may read, and what is no buffer any more.
      [...running, ...answered, deviceReads(0x5000), usedRing(0, 1, [0, 16])],
      [...running, ...answered, usedRing(0, 1, [0, 16]), deviceReads(0x6000)],
      [...running, ...answered, queueReset(), deviceReads(0x6000)],
    ],
    fail: [...running, ...answered, deviceReads(0x6000)],
    alsoFail: [[...running, ...answered, deviceReads(0x600e)]],
  },
  'split.device.desc.4': {
    pass: [...begin, ...plain, first],
    fail: [...begin, memory('device', DESCRIPTORS, 1)],
  },
  'split.driver.desc.1': {
    pass: [...begin, ...plain],
    fail: [...begin, ...buffer(descriptor(0, NEXT, 1, 0xffff), descriptor(1, 0, 0, 0xffff))],
  },
  'split.driver.desc.2': {
    pass: [...withFeature(Feature.IN_ORDER), ...buffer(descriptor(0, NEXT, 1), descriptor(1))],
    fail: [...withFeature(Feature.IN_ORDER), ...buffer(descriptor(0, NEXT, 2), descriptor(2))],
  },
  'split.driver.indirect.1': {
    pass: [...begin, ...plain],
    fail: [...begin, ...buffer(descriptor(0, INDIRECT))],
  },
  'split.driver.indirect.2': {
    pass: [...withTables, ...table(0)],
    fail: [...withTables, ...table(INDIRECT)],
  },
  'split.driver.indirect.3': {
    pass: [...begin, ...plain],
    fail: [...begin, ...buffer(descriptor(0, NEXT, 0))],
  },
  'split.driver.indirect.4': {
    pass: [...withFeature(Feature.INDIRECT_DESC), ...buffer(descriptor(0, INDIRECT))],
    fail: [...withFeature(Feature.INDIRECT_DESC), ...buffer(descriptor(0, INDIRECT | NEXT, 1), descriptor(1))],
  },
  'split.driver.indirect.5': {
    pass: [...withTablesInOrder, ...table(NEXT, 1)],
    fail: [...withTablesInOrder, ...table(NEXT, 0)],
  },
  'split.driver.avail.1': {
    pass: [...begin, ...plain],
    fail: [...begin, ...plain, available(0, 0)],
  },
  'split.device.used.2': {
    pass: [...begin, ...buffer(descriptor(0, WRITE)), usedRing(0, 1, [0, 16])],
    fail: [...begin, ...buffer(descriptor(0, WRITE)), usedRing(0, 1, [0, 17])],
  },
  'split.driver.usednotif.1': { pass: [...begin, available(1, 0)], fail: [...begin, available(2, 0)] },
  'split.driver.usednotif.3': { pass: [...withEvents, available(0, 0)], fail: [...withEvents, available(1, 0)] },
  'split.device.availnotif.1': { pass: [...begin, usedRing(1, 0)], fail: [...begin, usedRing(2, 0)] },
  'split.device.availnotif.3': { pass: [...withEvents, usedRing(0, 0)], fail: [...withEvents, usedRing(1, 0)] },
  'split.device.usednotif.2': {
    pass: [...begin, ...plain, first, used(0)],
    fail: [...begin, ...plain, available(1, 1, 0), first, used(0)],
  },
  'split.device.usednotif.3': {
    pass: [...begin, ...two, first, used(0)],
    fail: [...begin, ...two, first, used(0), second],
  },
  'split.device.usednotif.5': {
    pass: [...withEvents, ...two, first, used(0)],
    fail: [...withEvents, ...two, first, used(0), usedEvent(1), second],
  },
  'split.device.usednotif.6': {
    pass: [...withEvents, ...plain, first, used(0)],
    fail: [...withEvents, ...plain, usedEvent(5), first, used(0)],
  },
  'split.driver.availnotif.3': {
    pass: [...begin, ...plain, kick()],
    fail: [...begin, usedRing(1, 0), ...plain, kick()],
  },
  'split.driver.availnotif.4': {
    pass: [...begin, ...plain, kick()],
    fail: [...begin, ...plain, kick(), descriptor(1), available(0, 2, 0, 1)],
  },
  'split.driver.availnotif.6': {
    pass: [...withEvents, ...plain, kick()],
    fail: [...withEvents, ...plain, kick(), availableEvent(1), descriptor(1), available(0, 2, 0, 1)],
  },
  'split.driver.availnotif.7': {
    pass: [...withEvents, ...plain, kick()],
    fail: [...withEvents, availableEvent(5), ...plain, kick()],
  },
  'split.driver.usednotif.5': {
    pass: [...running, ...plain, first, used(0), used(0), kick()],
    fail: [...running, ...plain, first, used(0), used(0), write(0x8f)],
  },
  'split.device.availnotif.5': {
    pass: [...running, ...plain, kick(), first, kick(), read(0x0f)],
    fail: [...running, ...plain, kick(), first, kick(), read(0x4f), configInterrupt],
  },
  'init.driver.cleanup.1': {
    pass: [...begin, ...plain, first],
    fail: [...begin, ...plain, descriptor(0, WRITE)],
  },
};
