import { expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { Recorder, TraceLines } from '../../../src/record/recorder.ts';
import { RingWatch } from '../../../src/record/ring-watch.ts';
import { PackedFlag } from '../../../src/spec/packed-ring.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const { AVAILABLE, USED } = PackedFlag;

/** A packed queue whose first descriptor is written half by half, and whose doing each write is said to be. */
function watched(): { write: (flags: number, id: number) => void; by: () => string[] } {
  const memory = GuestMemory.over(new Uint8Array(0x1000));
  const trace = new TraceLines();
  const recorder = new Recorder({ transport: 'direct', device: 2 }, trace, new FakeClock());
  const layout = { size: 4, descriptorArea: 0x100, driverArea: 0x200, deviceArea: 0x300 };
  const queues = (): readonly [{ index: number; layout: typeof layout }] => [{ index: 0, layout }];
  const watch = new RingWatch(recorder, memory, { queues, isPacked: () => true });
  const { view } = memory.find(0x100, 16)!;
  return {
    write: (flags, id) => {
      view.setUint16(0x100 + 12, id, true);
      view.setUint16(0x100 + 14, flags, true);
      watch.look();
    },
    by: () => trace.lines.flatMap((line) => line.match(/"memory","by":"(\w+)"/)?.[1] ?? []),
  };
}

it('a packed descriptor whose flags have not changed yet is written by the end whose turn it is', () => {
  const { write, by } = watched();
  write(0, 1);
  write(AVAILABLE, 1);
  write(AVAILABLE, 2);
  write(AVAILABLE | USED, 2);
  write(AVAILABLE | USED, 3);
  write(USED, 3);
  expect(by()).toEqual(['driver', 'driver', 'device', 'device', 'driver', 'driver']);
});
