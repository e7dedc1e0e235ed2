import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BlockRequestType } from '../../../../src/devices/block/layout.ts';
import { type RawAnswer, RawBlock, type RawRequest, ranges } from '../../../support/raw-block.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';

const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = BlockRequestType;

const sector = fc.nat(66);
const segment = fc.record({ sector, sectors: fc.nat(6), flags: fc.constantFrom(0, 0, 0, 1, 2) });
const segments = fc.array(segment, { maxLength: 4 }).map((list) => ranges(...list));
const room = fc.constantFrom(0, 0, 0, 512, 20, 7);

const request: fc.Arbitrary<RawRequest> = fc.oneof(
  fc.record({ type: fc.constant(IN), sector, room: fc.constantFrom(0, 512, 1024, 1536, 100, 513) }),
  fc.record({
    type: fc.constant(OUT),
    sector,
    out: fc.constantFrom(0, 512, 1024, 700).map((n) => pattern(n, n)),
    room,
  }),
  fc.record({ type: fc.constant(FLUSH), room }),
  fc.record({ type: fc.constant(GET_ID), room: fc.constantFrom(20, 19, 0, 33) }),
  fc.record({ type: fc.constantFrom(DISCARD, WRITE_ZEROES), out: segments, room }),
  fc.record({ type: fc.nat(20), sector, out: fc.constant(pattern(40)), room }),
);

const cuts = fc.record({
  readable: fc.array(fc.oneof(fc.nat(40), fc.nat(1100)), { maxLength: 7 }),
  writable: fc.array(fc.oneof(fc.nat(24), fc.nat(1600)), { maxLength: 6 }),
});

function play(requests: readonly RawRequest[]): { answers: RawAnswer[]; disk: RecordingDisk } {
  const disk = new RecordingDisk();
  disk.contents.set(pattern(disk.contents.length, 5));
  const block = new RawBlock(disk);
  return { answers: requests.map((each) => block.send(each)), disk };
}

it('a request means the same however its header, data and status are divided over descriptors (§2.7.4.1)', () => {
  const statuses = new Map<number, number>();
  fc.assert(
    fc.property(fc.array(fc.tuple(request, cuts), { minLength: 1, maxLength: 10 }), (list) => {
      const whole = play(list.map(([each]) => each));
      const divided = play(list.map(([each, places]) => ({ ...each, cuts: places })));
      expect(divided.answers).toEqual(whole.answers);
      expect(divided.disk.log).toEqual(whole.disk.log);
      expect(Buffer.compare(divided.disk.contents, whole.disk.contents)).toBe(0);
      for (const { status } of whole.answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }),
    { seed: 20260107, numRuns: 80 },
  );
  // All three statuses came about, many times.
  expect([...statuses.keys()].sort()).toEqual([0, 1, 2]);
  expect(Math.min(...statuses.values())).toBeGreaterThan(30);
});

it('every single byte may be a descriptor of its own', () => {
  const single = Array.from({ length: 16 }, (_, n) => n);
  const disk = new RecordingDisk();
  disk.contents.set(pattern(1024));
  const block = new RawBlock(disk);
  // A queue of this test has sixteen descriptors for a request: the header in thirteen, data and status in three.
  for (let first = 0; first < 4; first++) {
    const readable = single.slice(1 + first, 13 + first);
    const writable = [511 - first, 512];
    const answer = block.send({ type: IN, sector: 1, room: 512, cuts: { readable, writable } });
    expect(answer).toEqual({ status: 0, written: 513, data: disk.contents.subarray(512, 1024) });
  }
});
