import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import {
  available,
  configRead,
  deviceReads,
  enable,
  goesOn,
  hex,
  inBuffer,
  type TracesByRule,
  taken,
} from '../../../support/trace-events.ts';

/** The queue of `enable` has eight descriptors, from 0x1000 on. */
const DESCRIPTORS = 0x1000;
const { NEXT, WRITE, INDIRECT, AVAILABLE, USED } = { NEXT: 1, WRITE: 2, INDIRECT: 4, AVAILABLE: 0x80, USED: 0x8000 };

/** One write of descriptors of 16 bytes each, from the first one on: flags, all of one buffer id. */
function descriptors(id: number, ...flags: number[]): TraceEvent {
  return ring('driver', 0, 16, id, ...flags);
}

function ring(by: 'driver' | 'device', first: number, length: number, id: number, ...flags: number[]): TraceEvent {
  const bytes = hex(...flags.flatMap((value) => [0, 0, 0, 0, length, 0, id, value]));
  const address = DESCRIPTORS + 16 * first;
  return { kind: 'memory', by, access: 'write', queue: 0, address, length: bytes.length / 2, bytes };
}

const SEG_MAX = 2;
const begin = [...goesOn(0x0f, Feature.RING_PACKED, SEG_MAX), enable()];
const withTables = [...goesOn(0x0f, Feature.RING_PACKED, Feature.INDIRECT_DESC, SEG_MAX), enable()];
/** The disk takes so many segments between header and status. */
const segments = (most: number): TraceEvent => configRead(12, most);
const ofEntries = (count: number): TraceEvent => inBuffer({ table: hex(0, 0, 0, 0, 16, 0, 0, 0).repeat(count) });
const withData = [...goesOn(0x0f, Feature.RING_PACKED, Feature.NOTIFICATION_DATA), enable()];
/** A notification of the first queue over MMIO, with data. */
const notify = (next: number): TraceEvent => ({
  kind: 'mmio',
  access: 'write',
  offset: 0x50,
  width: 4,
  value: next * 0x1_0000,
});
const A = AVAILABLE;

export const packedTraces: TracesByRule = {
  'packed.driver.layout.1': {
    pass: begin,
    fail: [
      ...goesOn(0x0f, Feature.RING_PACKED),
      { kind: 'queue.enable', queue: 0, size: 8, descriptor: 0x1000, driver: 0x2002, device: 0x3000 },
    ],
  },
  'packed.device.order.1': {
    pass: [...begin, available(0), available(1), taken(0), taken(1)],
    fail: [...begin, available(0), available(1), taken(1)],
  },
  'packed.device.used.write': {
    pass: [...begin, descriptors(0, A | WRITE), ring('device', 0, 16, 0, A | USED | WRITE)],
    fail: [...begin, descriptors(0, A | WRITE), ring('device', 0, 16, 0, A | USED)],
  },
  'packed.device.used.length': {
    pass: [...begin, descriptors(0, A | WRITE), ring('device', 0, 16, 0, A | USED | WRITE)],
    fail: [...begin, descriptors(0, A | WRITE), ring('device', 0, 17, 0, A | USED | WRITE)],
  },
  'packed.driver.sg.1': {
    pass: [...begin, segments(1), descriptors(0, A | NEXT, A | NEXT, A)],
    lawful: [[...begin, descriptors(0, A | NEXT, A | NEXT, A | NEXT, A)]],
    fail: [...begin, segments(1), descriptors(0, A | NEXT, A | NEXT, A | NEXT, A)],
  },
  'packed.driver.sg.6': {
    pass: [...begin, descriptors(0, A | NEXT, A)],
    lawful: [
      // Over the end of the ring, with the other wrap counter.
      [
        ...begin,
        descriptors(0, ...new Array<number>(6).fill(A | NEXT), A),
        ring('device', 0, 0, 0, A | USED),
        ring('driver', 0, 16, 1, USED),
        ring('driver', 7, 16, 1, A | NEXT),
      ],
    ],
    fail: [...begin, descriptors(0, A | NEXT, 0)],
  },
  'packed.driver.indirect.3': {
    pass: [...withTables, segments(1), ofEntries(3), descriptors(0, A | INDIRECT)],
    fail: [...withTables, segments(1), ofEntries(4), descriptors(0, A | INDIRECT)],
  },
  'packed.driver.sg.2': {
    pass: [...begin, descriptors(0, A)],
    fail: [...begin, descriptors(0, ...new Array<number>(8).fill(A | NEXT))],
  },
  'packed.driver.sg.3': {
    pass: [...begin, descriptors(0, A | NEXT, A | WRITE)],
    fail: [...begin, descriptors(0, A | NEXT | WRITE, A)],
  },
  'packed.driver.sg.5': {
    pass: [...begin, descriptors(0, A)],
    // The second list goes over the end of the ring, into the first one.
    fail: [
      ...begin,
      descriptors(0, A | NEXT, A | NEXT, A | NEXT, A | NEXT, A | NEXT, A),
      ring('driver', 0, 16, 1, USED),
      ring('driver', 6, 16, 1, A | NEXT, A | NEXT),
    ],
    // It takes descriptors that are out.
    alongside: ['packed.driver.desc.1'],
  },
  'packed.driver.indirect.1': {
    pass: [...begin, descriptors(0, A)],
    fail: [...begin, descriptors(0, A | INDIRECT)],
  },
  'packed.driver.indirect.2': {
    pass: [...withTables, inBuffer({ table: hex(0, 0, 0, 0, 16, 0, 0, WRITE) }), descriptors(0, A | INDIRECT)],
    fail: [...withTables, inBuffer({ table: hex(0, 0, 0, 0, 16, 0, 0, NEXT) }), descriptors(0, A | INDIRECT)],
  },
  'packed.driver.indirect.4': {
    pass: [...withTables, descriptors(0, A | INDIRECT)],
    fail: [...withTables, descriptors(0, A | NEXT, A | INDIRECT)],
  },
  'packed.device.desc.2': {
    pass: [...begin, descriptors(0, A | WRITE), deviceReads(DESCRIPTORS), ring('device', 0, 16, 0, A | USED | WRITE)],
    lawful: [[...begin, descriptors(0, A), deviceReads(0)]],
    fail: [...begin, descriptors(0, A | WRITE), deviceReads(0)],
    alsoFail: [
      [
        ...withTables,
        inBuffer({ table: hex(0x5000, 0, 0, 0, 16, 0, 0, 0, 0x6000, 0, 0, 0, 16, 0, 0, WRITE) }),
        ring('driver', 0, 32, 0, A | INDIRECT),
        deviceReads(0x6004),
      ],
    ],
  },
  'packed.device.desc.4': {
    pass: [...begin, descriptors(0, A), ring('device', 0, 0, 0, A | USED)],
    fail: [...begin, descriptors(0, A), ring('device', 0, 0, 0, A | USED), ring('device', 0, 1, 0, A | USED)],
  },
  'packed.driver.desc.1': {
    pass: [...begin, descriptors(0, A), ring('device', 0, 16, 0, A | USED)],
    fail: [...begin, descriptors(0, A), ring('driver', 0, 16, 0, USED)],
  },
  'packed.driver.desc.2': {
    pass: [...begin, descriptors(0, A), ring('device', 0, 16, 0, A | USED)],
    fail: [...begin, descriptors(0, A), ring('driver', 0, 16, 0, A | WRITE)],
  },
  'packed.driver.desc.3': {
    header: { transport: 'mmio' },
    pass: [...withData, descriptors(0, A), notify(0x8001)],
    fail: [...withData, descriptors(0, A), notify(0x8000)],
  },
};
