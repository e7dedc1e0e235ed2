/** Linux suspends our disks itself: VIRTIO_F_SUSPEND, with the drivers of contrib/linux. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FaultyDisk, seededLatency } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { output } from './linux-machine.ts';
import { type SuspendingMachine, startSuspending, suspendStats, type WatchedDevice } from './suspend-machine.ts';

const SUSPEND = '/sys/bus/virtio/devices/virtio0/suspend';

describe('a Linux that can suspend', () => {
  let started: SuspendingMachine;
  beforeAll(async () => {
    started = await startSuspending([{ disk: new MemoryDisk({ capacitySectors: 65536 }) }]);
  }, 600_000);
  afterAll(() => started.machine.destroy());

  it('negotiates the feature', async () => {
    const { machine, devices } = started;
    const features = await output(machine, 'cat /sys/bus/virtio/devices/virtio0/features');
    expect(features[43]).toBe('1');
    expect(features[42]).toBe('0');
    expect((devices[0]!.device.accepted >> 43n) & 1n).toBe(1n);
  });

  it('suspends and resumes a device', async () => {
    const { machine, devices } = started;
    await output(machine, `echo 1 >${SUSPEND}`);
    expect(await output(machine, `cat ${SUSPEND}`)).toBe('1\n');
    expect(devices[0]!.trace).toEqual(['w1f', 's1f', 's1b']);
    await output(machine, `echo 0 >${SUSPEND}`);
    expect(await output(machine, `cat ${SUSPEND}`)).toBe('0\n');
    expect(devices[0]!.trace).toEqual(['w1f', 's1f', 's1b', 'w1f', 's0f']);
    expect(await suspendStats(machine)).toMatchObject({ state: 'running', cycles: '1', failures: '0', resets: '0' });
    expect(await output(machine, 'dd if=/dev/vda bs=64k count=4 iflag=direct 2>/dev/null | wc -c')).toBe('262144\n');
  });
});

describe('a Linux that suspends its disk a hundred times while files are written and checked', () => {
  for (const leaveInFlight of [0, 1]) {
    it(leaveInFlight === 0
      ? 'loses nothing, without a reset'
      : 'loses nothing when requests in flight are left to the device', async () => {
      const disk = slow(new MemoryDisk({ capacitySectors: 65536 }));
      const { machine, devices } = await startSuspending([{ disk }]);
      const [watched] = devices;
      await output(machine, `echo ${leaveInFlight} >/sys/module/virtio_blk/parameters/leave_in_flight`);
      const before = { accepted: watched!.device.accepted, queues: registers(watched!) };
      await output(machine, 'load /dev/vda 2 8 >/tmp/load 2>&1 & while [ ! -e /tmp/sums/1.3 ]; do sleep 1; done');
      let drained = 0;
      watched!.trace = [];
      watched!.onStatus = (shown) => {
        if (shown === 0x1f && watched!.device.inFlight > 0) drained++;
      };
      await output(machine, CYCLES, 240_000);
      expect(watched!.trace).toEqual(Array.from({ length: 100 }, () => ['w1f', 's1f', 's1b', 'w1f', 's0f']).flat());
      expect(watched!.kicksWhileSuspended).toBe(0);
      expect(drained > 0).toBe(leaveInFlight === 1);
      const end = await output(machine, END_OF_LOAD, 240_000);
      expect(end).toMatch(/worker 1 stopped: \d+ files written and read back, 0 bad/);
      expect(end).toMatch(/worker 2 stopped: \d+ files written and read back, 0 bad/);
      expect(end).toMatch(/verify: ok, \d+ files, 0 bad\n$/);
      expect({ accepted: watched!.device.accepted, queues: registers(watched!) }).toEqual(before);
      expect(await suspendStats(machine)).toMatchObject({ cycles: '100', failures: '0', resets: '0' });
      expect(await output(machine, 'dmesg | grep -c "I/O error\\|WARNING\\|BUG" || true')).toBe('0\n');
      await machine.destroy();
    }, 600_000);
  }
});

const CYCLES = `i=0; while [ $i -lt 100 ]; do
  echo 1 >${SUSPEND} && [ $(cat ${SUSPEND}) = 1 ] && echo 0 >${SUSPEND} || exit 1
  i=$((i + 1))
done`;

const END_OF_LOAD = 'touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done; cat /tmp/load; verify';

/** A disk whose requests take up to 8 ms and end in any order. */
function slow(disk: MemoryDisk): FaultyDisk {
  return new FaultyDisk(disk, {
    latency: seededLatency(1, 0, 8),
    schedule: (action, delayMs) => void setTimeout(action, delayMs),
  });
}

function registers({ device }: WatchedDevice): unknown[] {
  return device.queues.map(({ enabled, layout }) => ({ enabled, ...layout }));
}
