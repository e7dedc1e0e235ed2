import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { answers, asks, le, range } from '../../../support/block-events.ts';
import {
  configInterrupt,
  configRead,
  generation,
  goesOn,
  read,
  starts,
  type TracesByRule,
  write,
} from '../../../support/trace-events.ts';

const [RO, DISCARD, WRITE_ZEROES, SECURE_ERASE] = [5, 13, 14, 16] as const;
const [IN, OUT, FLUSH, GET_ID, GET_LIFETIME] = [0, 1, 4, 8, 10] as const;
const [DISCARDS, ZEROES, ERASES, REPORTS] = [11, 13, 14, 16] as const;
const [OK, IOERR, UNSUPP] = [0, 1, 2] as const;

const header = { device: DeviceId.BLOCK };
const runs = goesOn();
/** A disk of eight sectors. */
const capacity = [generation(0), configRead(0, 8), configRead(4, 0), generation(0)];
const limitAt = (offset: number, feature: number) => [...goesOn(0x0f, feature), configRead(offset, 1)];
const mayUnmap = (value: number) => configRead(56, value, 1);
const withZeroes = [...goesOn(0x0f, WRITE_ZEROES)];
const readOnly = starts(RO);
const ones = '01'.repeat(16);
const twos = '02'.repeat(16);
const reads = (head: string) => [...asks(IN, 0, { room: 512 }), ...answers(OK, { head })];

const later = { ...read(0x0f), time: 2_000_000 };

/** Requests to a block device, and their answers. */
export const blockRequestTraces: TracesByRule = {
  'blk.driver.op.1': {
    header,
    pass: [...runs, configInterrupt, ...capacity],
    lawful: [
      [...runs, configInterrupt, read(0x0f)],
      [...runs, configInterrupt, read(0x4f), { ...read(0x4f), time: 2_000_000 }],
      [...runs, configInterrupt, write(0x1f), read(0x1b), { ...read(0x1b), time: 2_000_000 }],
    ],
    fail: [...runs, configInterrupt, later],
  },
  'blk.driver.op.2': {
    header,
    pass: [...runs, ...capacity, ...asks(IN, 7, { room: 512 })],
    fail: [...runs, ...capacity, ...asks(IN, 7, { room: 1024 })],
  },
  'blk.driver.op.4': { header, pass: [...runs, ...asks(FLUSH, 0)], fail: [...runs, ...asks(FLUSH, 1)] },
  'blk.driver.op.5': { header, pass: [...runs, ...asks(FLUSH, 0)], fail: [...runs, ...asks(FLUSH, 0, { out: 1 })] },
  'blk.driver.op.6': {
    header,
    pass: [...runs, ...asks(OUT, 0, { out: 512 })],
    fail: [...runs, ...asks(OUT, 0, { out: 511 })],
  },
  'blk.driver.op.7': {
    header,
    pass: [...runs, ...asks(DISCARDS, 0, { out: 16 })],
    fail: [...runs, ...asks(DISCARDS, 0, { out: 15 })],
  },
  'blk.driver.op.8': {
    header,
    pass: [...runs, ...asks(GET_ID, 0, { room: 20 })],
    fail: [...runs, ...asks(GET_ID, 0, { room: 21 })],
  },
  'blk.driver.op.9': {
    header,
    pass: [...limitAt(40, DISCARD), ...asks(DISCARDS, 0, { out: 16 })],
    fail: [...limitAt(40, DISCARD), ...asks(DISCARDS, 0, { out: 32 })],
  },
  'blk.driver.op.10': {
    header,
    pass: [...limitAt(64, SECURE_ERASE), ...asks(ERASES, 0, { out: 16 })],
    fail: [...limitAt(64, SECURE_ERASE), ...asks(ERASES, 0, { out: 32 })],
  },
  'blk.driver.op.11': {
    header,
    pass: [...limitAt(52, WRITE_ZEROES), ...asks(ZEROES, 0, { out: 16 })],
    fail: [...limitAt(52, WRITE_ZEROES), ...asks(ZEROES, 0, { out: 32 })],
  },
  'blk.driver.op.14': {
    header,
    pass: [...runs, ...asks(DISCARDS, 0, { data: range(0, 1) })],
    fail: [...runs, ...asks(DISCARDS, 0, { data: range(0, 1, 1) })],
  },
  'blk.device.op.3': {
    header,
    pass: [...readOnly, ...asks(OUT, 0, { out: 512 }), ...answers(IOERR)],
    fail: [...readOnly, ...asks(OUT, 0, { out: 512 }), ...answers(OK)],
  },
  'blk.device.op.4': {
    header,
    pass: [...readOnly, ...reads(ones), ...asks(OUT, 0, { out: 512, data: twos }), ...answers(IOERR), ...reads(ones)],
    fail: [...readOnly, ...reads(ones), ...asks(OUT, 0, { out: 512, data: twos }), ...answers(IOERR), ...reads(twos)],
  },
  'blk.device.op.5': {
    header,
    pass: [...runs, ...asks(ZEROES, 0, { data: range(0, 1, 2) }), ...answers(UNSUPP)],
    fail: [...runs, ...asks(ZEROES, 0, { data: range(0, 1, 2) }), ...answers(OK)],
  },
  'blk.device.op.6': {
    header,
    pass: [...runs, ...asks(DISCARDS, 0, { data: range(0, 1, 1) }), ...answers(UNSUPP)],
    fail: [...runs, ...asks(DISCARDS, 0, { data: range(0, 1, 1) }), ...answers(OK)],
    alongside: ['blk.driver.op.14'],
  },
  'blk.device.op.9': {
    header,
    pass: [...runs, ...asks(ZEROES, 0, { data: range(0, 1) }), ...answers(OK), ...reads(le(0, 16))],
    fail: [...runs, ...asks(ZEROES, 0, { data: range(0, 1) }), ...answers(OK), ...reads(ones)],
  },
  'blk.device.op.12': {
    header,
    pass: [...withZeroes, mayUnmap(1), configInterrupt, mayUnmap(0)],
    fail: [...withZeroes, mayUnmap(1), mayUnmap(0)],
  },
  'blk.device.op.17': {
    header,
    pass: [...runs, ...asks(GET_LIFETIME, 0, { room: 6 }), ...answers(OK, { head: le(3, 2) + le(11, 2) + le(0, 2) })],
    fail: [...runs, ...asks(GET_LIFETIME, 0, { room: 6 }), ...answers(OK, { head: le(4, 2) + le(11, 2) + le(0, 2) })],
  },
  'blk.device.op.18': {
    header,
    pass: [...runs, ...asks(REPORTS, 0, { room: 64 }), ...answers(UNSUPP)],
    fail: [...runs, ...asks(REPORTS, 0, { room: 64 }), ...answers(OK)],
  },
};
