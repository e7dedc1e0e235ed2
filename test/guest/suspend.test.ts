/** Linux suspends our disks itself: VIRTIO_F_SUSPEND, with the drivers of contrib/linux. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { FaultyDisk, seededLatency } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { complaints, endOfLoad, output, startLoad } from './commanded-guest.ts';
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

/** By name: the features that are offered besides, and that Linux then negotiates. */
const RINGS = {
  split: [],
  packed: [Feature.RING_PACKED],
} as const;

describe.each(Object.entries(RINGS))(
  'a Linux that suspends a disk with %s rings while files are written and checked',
  (_, offer) => {
    let started: SuspendingMachine;
    let watched: WatchedDevice;
    let disk: FaultyDisk;
    let before: unknown;
    beforeAll(async () => {
      disk = slow(new MemoryDisk({ capacitySectors: 65536 }));
      started = await startSuspending([{ disk, options: { offer } }]);
      watched = started.devices[0]!;
      before = negotiated(watched);
      await startLoad(started.machine);
    }, 600_000);
    afterAll(() => started.machine.destroy());

    /** `drained`: of how many cycles the device itself had to finish requests. */
    async function cycles(count: number, leave: 'none in flight' | 'some in flight'): Promise<{ drained: number }> {
      const leaves = leave === 'some in flight';
      let drained = 0;
      watched.trace = [];
      watched.onStatus = (shown) => {
        if (shown === 0x1f && watched.device.inFlight > 0) drained++;
        if (!leaves) return;
        if (shown === 0x0f) disk.hold();
        else disk.release();
      };
      await output(started.machine, `echo ${Number(leaves)} >/sys/module/virtio_blk/parameters/leave_in_flight`);
      if (leaves) disk.hold();
      await output(started.machine, suspendAndResume(count, leaves ? READ_THAT_IS_HELD : ''), 240_000);
      watched.onStatus = undefined;
      disk.release();
      expect(watched.trace).toEqual(Array.from({ length: count }, () => ['w1f', 's1f', 's1b', 'w1f', 's0f']).flat());
      expect(watched.kicksWhileSuspended).toBe(0);
      return { drained };
    }

    it('negotiates them, with event index and indirect descriptors', () => {
      const wanted = [Feature.INDIRECT_DESC, Feature.EVENT_IDX, ...offer];
      for (const bit of wanted) expect(hasFeature(watched.device.accepted, bit)).toBe(true);
      expect(hasFeature(watched.device.accepted, Feature.RING_PACKED)).toBe(offer.length > 0);
    });

    it('waits for its requests first, when it is told to', async () => {
      expect((await cycles(50, 'none in flight')).drained).toBe(0);
    });

    it('or leaves requests in flight to the device, which finishes them, a hundred times', async () => {
      expect((await cycles(100, 'some in flight')).drained).toBe(100);
    });

    it('and loses nothing, with the same queues and features as before', async () => {
      expect(await endOfLoad(started.machine)).toEqual({ bad: 0, verified: true });
      expect(negotiated(watched)).toEqual(before);
      expect(await suspendStats(started.machine)).toMatchObject({ failures: '0', resets: '0' });
      expect(await complaints(started.machine)).toBe('');
    });
  },
);

/** The disk keeps back what comes until it is told to suspend, so that something is in flight then, each time. */
const READ_THAT_IS_HELD = `dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
  reads=0 writes=0; while [ $reads$writes = 00 ]; do read reads writes </sys/block/vda/inflight; done`;

const suspendAndResume = (count: number, before: string): string => `i=0; while [ $i -lt ${count} ]; do
  ${before}
  echo 1 >${SUSPEND} && read suspended <${SUSPEND} && [ $suspended = 1 ] && echo 0 >${SUSPEND} || exit 1
  i=$((i + 1))
done`;

/** A disk whose requests take up to 8 ms and end in any order. */
function slow(disk: MemoryDisk): FaultyDisk {
  return new FaultyDisk(disk, {
    latency: seededLatency(1, 0, 8),
    schedule: (action, delayMs) => void setTimeout(action, delayMs),
  });
}

function negotiated({ device }: WatchedDevice): unknown {
  return { accepted: device.accepted, queues: device.queues.map(({ enabled, layout }) => ({ enabled, ...layout })) };
}
