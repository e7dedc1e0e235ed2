import { DeviceId } from '../../spec/device-ids.ts';
import { hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import type { Requirement } from '../rule.ts';
import type { ConfigChanged, Located } from '../trace.ts';
import { CONTENTS, ofType, PERMISSION, unseenOf } from './device-type.ts';

/** Feature bit (§5.2.3). */
const RO = 5;

const DISK = 'It is about the disk, which is behind the device.';
const driver = { prefix: 'blk.driver.op', section: '§5.2.6.1', role: 'driver' } as const;
const device = { prefix: 'blk.device.op', section: '§5.2.6.2', role: 'device' } as const;

/** What becomes of requests to a block device (§5.2.6). */
export const blockOperation: readonly Requirement[] = [
  {
    id: 'blk.driver.op.3',
    section: '§5.2.6.1',
    level: 'SHOULD',
    role: 'driver',
    text: 'RO is accepted where it is offered.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => ({
      'status.write': ({ value }) => {
        if ((value & Status.FEATURES_OK) === 0 || (value & Status.DRIVER_OK) !== 0 || !session.offers(RO)) return;
        if (hasFeature(session.accepted, RO)) passed();
        else failed('the disk is read-only, and the driver does not accept that');
      },
    })),
  },
  ...unseenOf(driver, 'How soon is not said, so that no trace is long enough to break it.', {
    1: ['SHOULD', 'The capacity is read again when the device tells that its configuration has changed.'],
  }),
  ...unseenOf(driver, CONTENTS, {
    2: ['MUST NOT', 'No request goes past the capacity.'],
    4: ['MUST', 'A flush is of sector 0.'],
    5: ['SHOULD NOT', 'A flush has no data.'],
    6: ['MUST', 'The data of reads and writes are whole sectors.'],
    7: ['MUST', 'What discards, erases and zeroes has whole segments.'],
    8: ['MUST', 'The name of a disk gets 20 bytes.'],
    9: ['MUST NOT', 'A discard has no more segments than the device takes.'],
    10: ['MUST NOT', 'A secure erase has no more segments than the device takes.'],
    11: ['MUST NOT', 'A write of zeroes has no more segments than the device takes.'],
    14: ['MUST', 'A discard does not ask to unmap.'],
    17: ['MUST', 'Sectors of zones are multiples of 512 bytes.'],
    18: ['MUST', 'A report begins in the first zone that is wanted.'],
    20: ['MUST', 'Opening, closing, finishing and resetting a zone is of its first sector.'],
    21: ['MUST', 'Resetting all zones is of sector 0.'],
    22: ['MUST', 'An append is of the first sector of its zone.'],
    23: ['MUST', 'An append is a multiple of the granularity of writes.'],
    24: ['MUST NOT', 'An append is no longer than the device takes.'],
    26: ['MUST', 'Writes to sequential zones are aligned, and fit.'],
  }),
  ...unseenOf(driver, 'What a driver takes for granted is inside it.', {
    13: ['MUST NOT', 'A change to writethrough makes nothing stable that was written before.'],
    15: ['MUST NOT', 'Nothing is known of sectors that were discarded.'],
    16: ['MUST NOT', 'An error of a request with several segments says nothing of each of them.'],
  }),
  ...unseenOf(driver, PERMISSION, {
    12: ['MAY', 'With CONFIG_WCE the driver may change the cache mode.'],
    19: ['MAY', 'A report may begin in the middle of a zone.'],
    25: ['MAY', 'The answer of an append may be used to learn where the data are.'],
  }),
  {
    id: 'blk.device.op.2',
    section: '§5.2.6.2',
    level: 'SHOULD',
    role: 'device',
    text: 'A change of the capacity is told.',
    check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
      /** One that came at rest is suspend.device.7. */
      let change: Located<ConfigChanged> | undefined;
      return {
        'config.changed': (event) => {
          if (session.device === 'running') change ??= event;
        },
        interrupt: ({ cause }) => {
          if (cause !== 'config' || change === undefined) return;
          passed();
          change = undefined;
        },
        'device.phase': ({ to }) => {
          if (to === 'resetting' || to === 'needsReset') change = undefined;
        },
        end: () => {
          if (change !== undefined && session.device === 'running') failed('a change is never told', change);
        },
      };
    }),
  },
  ...unseenOf(device, DISK, {
    4: ['MUST NOT', 'What is written to a read-only disk does not change it.'],
    10: ['SHOULD', 'Where zeroing can never unmap, the field for that says so.'],
    13: ['MUST', 'What is to be stable is so before its request is told to be done.'],
    15: ['SHOULD', 'LIFETIME is offered where the disk knows its own.'],
    16: ['MUST NOT', 'LIFETIME is not offered where the disk does not.'],
    37: ['MUST', 'What is behind the write pointer of a zone counts as not written.'],
    39: ['MUST', 'With zones the alignment of secure erases is a multiple of theirs.'],
    40: ['MUST', 'With zones secure erases are of whole zones.'],
    41: ['MUST', 'A secure erase is for a zone what its reset is.'],
  }),
  ...unseenOf(device, 'Which field has changed a trace does not say.', {
    12: ['SHOULD', 'A change of what zeroing can unmap is told.'],
  }),
  ...unseenOf(device, PERMISSION, {
    1: ['MAY', 'The capacity may change at any time.'],
    7: ['MAY', 'A discard may give storage back.'],
    8: ['MAY', 'Zeroing with unmap may give storage back.'],
    11: ['MAY', 'What zeroing can unmap may change at any time.'],
    14: ['MAY', 'Without FLUSH, writes may be stable when they are done.'],
    34: ['MAY', 'Zones that opened by themselves may close by themselves.'],
  }),
  ...unseenOf(device, CONTENTS, {
    3: ['MUST', 'A write to a read-only disk ends with IOERR.'],
    5: ['MUST', 'Flags of a segment that are not known end with UNSUPP.'],
    6: ['MUST', 'A discard that asks to unmap ends with UNSUPP.'],
    9: ['MUST', 'What was zeroed reads as zeroes.'],
    17: ['MUST NOT', 'No figure of a lifetime is a reserved one.'],
    18: ['MUST', 'Without ZONED, requests about zones end with UNSUPP.'],
    19: ['MUST', 'A conventional zone is neither opened, closed, finished nor reset.'],
    20: ['MUST', 'An append is for zones that have to be written in order.'],
    21: ['MUST', 'A zone that cannot be opened ends the request with ZONE_INVALID_CMD.'],
    22: ['MUST', 'A zone for which there is nothing left stays as it is, and the answer says what is missing.'],
    23: ['MUST', 'A zone that cannot be closed ends the request with ZONE_INVALID_CMD.'],
    24: ['MUST', 'A zone that cannot be finished stays as it is, and ends the request with ZONE_INVALID_CMD.'],
    25: ['MUST', 'A zone that cannot be reset stays as it is, and ends the request with ZONE_INVALID_CMD.'],
    26: ['MUST', 'A write that opens a zone for which there is nothing left says what is missing.'],
    27: ['MUST', 'An append that is not of the start of a zone ends with ZONE_INVALID_CMD.'],
    28: ['MUST', 'What does not fit into a zone ends with ZONE_INVALID_CMD.'],
    29: ['MUST', 'An append answers with the first sector that it has written.'],
    30: ['MUST', 'An append to a disk that has none ends with UNSUPP.'],
    31: ['MUST', 'An append that is too long ends with ZONE_INVALID_CMD.'],
    32: ['MUST', 'What crosses the border of a sequential zone ends with ZONE_INVALID_CMD.'],
    33: ['MUST', 'A write that is not at the write pointer ends with ZONE_UNALIGNED_WP.'],
    35: ['MUST', 'A write to a read-only zone ends with ZONE_INVALID_CMD.'],
    36: ['MUST', 'Anything of an offline zone ends with ZONE_INVALID_CMD.'],
    38: ['MUST', 'What was never written reads as a pattern, or not at all.'],
  }),
];
