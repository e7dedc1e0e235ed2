/** Our block device with requests that a driver of ours does not make, as the judge sees them. */
import { describe, expect, it } from 'vitest';
import type { Disk } from '../../../src/devices/block/disk.ts';
import { recordDevice, recordedType } from '../../../src/record/device.ts';
import { Recorder, TraceLines } from '../../../src/record/recorder.ts';
import { DeviceId } from '../../../src/spec/device-ids.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { RawBlock, type RawRequest, ranges } from '../../support/raw-block.ts';
import { judgeLines } from '../../support/recorded-rig.ts';

const [IN, OUT, GET_LIFETIME, DISCARD, WRITE_ZEROES, ZONE_REPORT] = [0, 1, 10, 11, 13, 16] as const;
const UNMAP = 1;
const ones = new Uint8Array(512).fill(1);

/** The rules for devices that a disk keeps, and that it breaks, with these requests. */
function judged(disk: Disk, requests: readonly RawRequest[]): { readonly kept: string[]; readonly broken: string[] } {
  const trace = new TraceLines();
  const recorder = new Recorder({ transport: 'direct', device: DeviceId.BLOCK }, trace, new FakeClock());
  const block = new RawBlock(disk, { wrap: (type) => recordedType(recorder, type) });
  const { device, memory } = block;
  recorder.event({ kind: 'restored', status: device.status, features: device.accepted.toString(16) });
  recorder.event({ kind: 'features.device', word: 0, bits: Number(device.offered & 0xffff_ffffn) });
  const { size, descriptorArea: descriptor, driverArea: driver, deviceArea } = block.queues[0]!.layout;
  recorder.event({ kind: 'queue.enable', queue: 0, size, descriptor, driver, device: deviceArea });
  recordDevice(recorder, device, memory);
  for (const request of requests) {
    block.send(request);
    recorder.look?.();
  }
  const ofDevice = [...judgeLines(trace.lines).values()].filter(({ rule }) => rule.role === 'device');
  const idsOf = (wanted: string): string[] =>
    ofDevice.filter(({ result }) => result === wanted).map(({ rule }) => rule.id);
  return { kept: idsOf('pass'), broken: idsOf('fail') };
}

describe('our block device keeps the rules about requests', () => {
  it('that are no good', () => {
    const { kept, broken } = judged(new MemoryDisk({ capacitySectors: 16 }), [
      { type: DISCARD, out: ranges({ sector: 0, sectors: 1, flags: UNMAP }) },
      { type: WRITE_ZEROES, out: ranges({ sector: 0, sectors: 1, flags: 2 }) },
      { type: ZONE_REPORT, room: 128 },
      { type: GET_LIFETIME, room: 6 },
    ]);
    expect(broken).toEqual([]);
    expect(kept).toEqual(expect.arrayContaining(['blk.device.op.5', 'blk.device.op.6', 'blk.device.op.18']));
  });

  it('to zero what was written', () => {
    const { kept, broken } = judged(new MemoryDisk({ capacitySectors: 16 }), [
      { type: OUT, out: ones },
      { type: WRITE_ZEROES, out: ranges({ sector: 0, sectors: 2, flags: UNMAP }) },
      { type: IN, room: 512 },
    ]);
    expect(broken).toEqual([]);
    expect(kept).toContain('blk.device.op.9');
  });

  it('to write to a disk that is read-only', () => {
    const { kept, broken } = judged(new MemoryDisk({ capacitySectors: 16, readOnly: true }), [
      { type: IN, room: 512 },
      { type: OUT, out: ones },
      { type: IN, room: 512 },
    ]);
    expect(broken).toEqual([]);
    expect(kept).toEqual(expect.arrayContaining(['blk.device.op.3', 'blk.device.op.4']));
  });
});

it('a disk that says to have zeroed, and has not, is found out', () => {
  const disk = new MemoryDisk({ capacitySectors: 16 });
  const submit = disk.submit.bind(disk);
  disk.submit = (request) => (request.operation === 'writeZeroes' ? request.complete() : submit(request));
  const { broken } = judged(disk, [
    { type: OUT, out: ones },
    { type: WRITE_ZEROES, out: ranges({ sector: 0, sectors: 1 }) },
    { type: IN, room: 512 },
  ]);
  expect(broken).toEqual(['blk.device.op.9']);
});
