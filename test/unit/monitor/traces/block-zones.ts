import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { answers, asks, le, range } from '../../../support/block-events.ts';
import { configRead, goesOn, type RuleTraces, type TracesByRule } from '../../../support/trace-events.ts';

const [SECURE_ERASE, ZONED] = [16, 17] as const;
const [IN, OUT, ERASES, APPENDS, REPORTS] = [0, 1, 14, 15, 16] as const;
const [OPENS, CLOSES, FINISHES, RESETS, RESETS_ALL] = [18, 20, 22, 24, 26] as const;
const [OK, UNSUPP, INVALID, UNALIGNED, NO_MORE_OPEN, NO_MORE_ACTIVE] = [0, 2, 3, 4, 5, 6] as const;
const [CONVENTIONAL, SEQUENTIAL] = [1, 2] as const;
const [EMPTY, OPEN, READ_ONLY, OFFLINE] = [1, 3, 13, 15] as const;

/** A disk with zones of 64 sectors, of which 32 can be written. */
const zoned = [...goesOn(0x0f, ZONED, SECURE_ERASE), configRead(72, 64)];
const GRANULARITY = configRead(88, 1024);
const mostAppended = (sectors: number): TraceEvent => configRead(84, sectors);

/** What a report says of the zone at sector 64: its type, state and write pointer. */
const reported = (type: number, state: number = EMPTY, pointer = 64): TraceEvent[] => {
  const zone = le(32, 8) + le(64, 8) + le(pointer, 8) + le(type, 1) + le(state, 1) + le(0, 38);
  return [...asks(REPORTS, 64, { room: 128 }), ...answers(OK, { head: le(1, 8) + le(0, 56) + zone })];
};
const sequential = [...zoned, ...reported(SEQUENTIAL)];

/** One request that has to end with one status, and ends with another. */
const ends = (
  before: readonly TraceEvent[],
  request: readonly TraceEvent[],
  status: number,
  wrong: number = OK,
): RuleTraces => ({
  pass: [...before, ...request, ...answers(status)],
  fail: [...before, ...request, ...answers(wrong)],
});

const traces: TracesByRule = {
  'blk.driver.op.20': { pass: [...zoned, ...asks(OPENS, 64)], fail: [...zoned, ...asks(OPENS, 65)] },
  'blk.driver.op.21': { pass: [...zoned, ...asks(RESETS_ALL, 0)], fail: [...zoned, ...asks(RESETS_ALL, 64)] },
  'blk.driver.op.22': { pass: [...zoned, ...asks(APPENDS, 64)], fail: [...zoned, ...asks(APPENDS, 65)] },
  'blk.driver.op.23': {
    pass: [...zoned, GRANULARITY, ...asks(APPENDS, 64, { out: 1024 })],
    fail: [...zoned, GRANULARITY, ...asks(APPENDS, 64, { out: 512 })],
  },
  'blk.driver.op.24': {
    pass: [...zoned, mostAppended(1), ...asks(APPENDS, 64, { out: 512 })],
    fail: [...zoned, mostAppended(1), ...asks(APPENDS, 64, { out: 1024 })],
  },
  'blk.driver.op.26': {
    pass: [...sequential, GRANULARITY, ...asks(OUT, 64, { out: 1024 })],
    fail: [...sequential, GRANULARITY, ...asks(OUT, 64, { out: 512 })],
  },
  'blk.device.op.19': ends([...zoned, ...reported(CONVENTIONAL)], asks(RESETS, 64), INVALID),
  'blk.device.op.20': ends([...zoned, ...reported(CONVENTIONAL), mostAppended(8)], asks(APPENDS, 64), INVALID, UNSUPP),
  'blk.device.op.21': ends([...zoned, ...reported(SEQUENTIAL, READ_ONLY)], asks(OPENS, 64), INVALID),
  'blk.device.op.22': {
    pass: [...zoned, configRead(76, 1), ...asks(OPENS, 64), ...answers(NO_MORE_OPEN)],
    fail: [...zoned, configRead(76, 0), ...asks(OPENS, 64), ...answers(NO_MORE_OPEN)],
  },
  'blk.device.op.23': ends([...zoned, ...reported(SEQUENTIAL, READ_ONLY)], asks(CLOSES, 64), INVALID),
  'blk.device.op.24': ends([...zoned, ...reported(SEQUENTIAL, READ_ONLY)], asks(FINISHES, 64), INVALID),
  'blk.device.op.25': ends([...zoned, ...reported(SEQUENTIAL, READ_ONLY)], asks(RESETS, 64), INVALID),
  'blk.device.op.26': {
    pass: [...zoned, configRead(80, 1), ...asks(OUT, 64, { out: 512 }), ...answers(NO_MORE_ACTIVE)],
    fail: [...zoned, configRead(80, 0), ...asks(OUT, 64, { out: 512 }), ...answers(NO_MORE_ACTIVE)],
  },
  'blk.device.op.27': {
    ...ends(zoned, asks(APPENDS, 65), INVALID, UNSUPP),
    alongside: ['blk.driver.op.22'],
  },
  'blk.device.op.28': ends(sequential, asks(APPENDS, 64, { out: 33 * 512 }), INVALID, UNSUPP),
  'blk.device.op.29': {
    pass: [...zoned, ...asks(APPENDS, 64, { out: 512, room: 8 }), ...answers(OK, { before: le(70, 8) })],
    fail: [...zoned, ...asks(APPENDS, 64, { out: 512, room: 8 }), ...answers(OK, { before: le(0, 8) })],
  },
  'blk.device.op.30': {
    ...ends([...zoned, mostAppended(0)], asks(APPENDS, 64, { out: 512 }), UNSUPP, INVALID),
    alongside: ['blk.driver.op.24'],
  },
  'blk.device.op.31': {
    ...ends([...zoned, mostAppended(1)], asks(APPENDS, 64, { out: 1024 }), INVALID, UNSUPP),
    alongside: ['blk.driver.op.24'],
  },
  'blk.device.op.32': ends(sequential, asks(IN, 127, { room: 1024 }), INVALID),
  'blk.device.op.33': ends([...zoned, ...reported(SEQUENTIAL, OPEN, 70)], asks(OUT, 64, { out: 512 }), UNALIGNED),
  'blk.device.op.35': ends([...zoned, ...reported(SEQUENTIAL, READ_ONLY)], asks(OUT, 64, { out: 512 }), INVALID),
  'blk.device.op.36': ends([...zoned, ...reported(SEQUENTIAL, OFFLINE)], asks(IN, 64, { room: 512 }), INVALID),
  'blk.device.op.39': {
    pass: [...zoned, configRead(68, 128)],
    fail: [...zoned, configRead(68, 32)],
  },
  'blk.device.op.40': {
    pass: [...zoned, ...asks(ERASES, 0, { data: range(64, 64) }), ...answers(OK)],
    fail: [...zoned, ...asks(ERASES, 0, { data: range(64, 32) }), ...answers(OK)],
  },
  'blk.device.op.41': {
    pass: [...zoned, ...asks(ERASES, 0, { data: range(64, 64) }), ...answers(OK), ...reported(SEQUENTIAL)],
    fail: [...zoned, ...asks(ERASES, 0, { data: range(64, 64) }), ...answers(OK), ...reported(SEQUENTIAL, OPEN)],
  },
};

/** Requests about the zones of a disk. */
export const blockZoneTraces: TracesByRule = Object.fromEntries(
  Object.entries(traces).map(([id, both]) => [id, { ...both, header: { device: DeviceId.BLOCK } }]),
);
