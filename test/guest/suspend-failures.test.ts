/** What goes wrong while Linux suspends a disk: it resets the device, and loses nothing. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceType } from '../../src/device/device-type.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { Status } from '../../src/spec/status.ts';
import { FaultyDisk } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { complaints, endOfLoad, output, startLoad } from './commanded-guest.ts';
import { StubbornType } from './stubborn-type.ts';
import { type SuspendingMachine, startSuspending, suspendStats, type WatchedDevice } from './suspend-machine.ts';

const SUSPEND = '/sys/bus/virtio/devices/virtio0/suspend';
const LIMIT_MS = 600_000;
/** What a device sees of a reset and the start after it. Linux resets twice, as the freeze and as the restore. */
const RECOVERY = ['w00', 's00', 'w00', 's00', 'w01', 's01', 'w03', 's03', 'w0b', 's0b', 'w0f', 's0f'];
beforeAll(async () => {
  await guestFiles({ suspend: true });
}, LIMIT_MS);

describe('a busy disk that Linux suspends and resumes', () => {
  const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 65536 }));
  let started: SuspendingMachine;
  let watched: WatchedDevice;
  let type: StubbornType;
  beforeAll(async () => {
    const wrap = (inner: DeviceType): StubbornType => {
      type = new StubbornType(inner);
      return type;
    };
    started = await startSuspending([{ disk, options: { suspendLimitMs: 3000 }, wrap }]);
    watched = started.devices[0]!;
    await startLoad(started.machine);
  }, LIMIT_MS);
  beforeEach(async () => {
    type.atQuiesce = type.atWake = 'works';
    watched.onStatus = undefined;
    await parameters({ timeoutMs: 10_000, leaveInFlight: 1 });
    watched.trace = [];
  });
  afterAll(() => started.machine.destroy());

  async function parameters(values: { timeoutMs: number; leaveInFlight: number }): Promise<void> {
    const { timeoutMs, leaveInFlight } = values;
    await output(started.machine, `echo ${timeoutMs} >/sys/module/virtio_suspend/parameters/suspend_timeout_ms`);
    await output(started.machine, `echo ${leaveInFlight} >/sys/module/virtio_blk/parameters/leave_in_flight`);
  }

  /** That `attempt` adds this to suspend_stats, and that the disk then suspends and resumes as if nothing had been. */
  async function counting(added: { failures: number; resets: number }, attempt: () => Promise<void>): Promise<void> {
    const before = await suspendStats(started.machine);
    await attempt();
    watched.trace = [];
    type.atQuiesce = type.atWake = 'works';
    await output(started.machine, `echo 1 >${SUSPEND} && echo 0 >${SUSPEND}`);
    expect(watched.trace).toEqual(['w1f', 's1f', 's1b', 'w1f', 's0f']);
    expect(await suspendStats(started.machine)).toMatchObject({
      state: 'running',
      cycles: String(Number(before['cycles']) + 1),
      failures: String(Number(before['failures']) + added.failures),
      resets: String(Number(before['resets']) + added.resets),
    });
  }

  it('is reset when the device answers DEVICE_NEEDS_RESET', async () => {
    await counting({ failures: 1, resets: 1 }, async () => {
      type.atQuiesce = 'fails';
      expect((await started.machine.command(`echo 1 >${SUSPEND}`)).exitCode).toBe(1);
      expect(watched.trace).toEqual(['w1f', 's1f', 's4f', ...RECOVERY]);
    });
  });

  it('is reset when the device does not suspend for longer than the driver waits', async () => {
    await counting({ failures: 1, resets: 1 }, async () => {
      await parameters({ timeoutMs: 500, leaveInFlight: 1 });
      type.atQuiesce = 'hangs';
      expect((await started.machine.command(`echo 1 >${SUSPEND}`)).exitCode).toBe(1);
      expect(watched.trace).toEqual(['w1f', 's1f', 'w9f', 's9f', ...RECOVERY]);
    });
  });

  it('gets the requests again that were in flight at the reset', async () => {
    await counting({ failures: 1, resets: 1 }, async () => {
      disk.hold();
      while (disk.held.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const recovered = new Promise<void>((resolve) => {
        watched.onStatus = (shown) => shown === 0x0f && resolve();
      });
      const suspending = started.machine.command(`echo 1 >${SUSPEND}`);
      await recovered;
      expect(watched.trace).toEqual(['w1f', 's1f', 's4f', ...RECOVERY]);
      expect(watched.device.inFlight).toBeGreaterThan(0);
      disk.release();
      expect((await suspending).exitCode).toBe(1);
    });
  });

  it('is not suspended while a request does not end that the driver waits for', async () => {
    await counting({ failures: 1, resets: 0 }, async () => {
      await parameters({ timeoutMs: 500, leaveInFlight: 0 });
      disk.hold();
      while (disk.held.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      expect((await started.machine.command(`echo 1 >${SUSPEND}`)).exitCode).toBe(1);
      expect(watched.trace).toEqual([]);
      disk.release();
    });
  });

  it('is reset when the device answers DEVICE_NEEDS_RESET to the resume', async () => {
    await counting({ failures: 1, resets: 1 }, async () => {
      await output(started.machine, `echo 1 >${SUSPEND}`);
      type.atWake = 'fails';
      watched.onStatus = (shown) => {
        if ((shown & Status.DEVICE_NEEDS_RESET) !== 0) type.atWake = 'works';
      };
      await output(started.machine, `echo 0 >${SUSPEND}`);
      expect(watched.trace).toEqual(['w1f', 's1f', 's1b', 'w1f', 's5b', ...RECOVERY]);
    });
  });

  it('is reset when the device has lost its state meanwhile', async () => {
    await counting({ failures: 1, resets: 1 }, async () => {
      await output(started.machine, `echo 1 >${SUSPEND}`);
      watched.device.reset();
      await output(started.machine, `echo 0 >${SUSPEND}`);
      expect(watched.trace).toEqual(['w1f', 's1f', 's1b', 's00', ...RECOVERY]);
    });
  });

  it('has lost nothing', async () => {
    expect(await endOfLoad(started.machine)).toEqual({ bad: 0, verified: true });
    expect(await complaints(started.machine)).toBe('');
    expect(watched.kicksWhileSuspended).toBe(0);
  });
});

describe('a disk that is gone while it is suspended', () => {
  it(
    'fails what waits for it, and the guest goes on',
    async () => {
      const [lost, other] = [0, 1].map(() => new MemoryDisk({ capacitySectors: 65536 }));
      const { machine, devices } = await startSuspending([{ disk: lost! }, { disk: other! }]);
      await output(machine, `echo 1 >${SUSPEND}`);
      await output(machine, '(dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct; echo $? >/tmp/dd) 2>/dev/null &');
      Object.defineProperty(devices[0]!.device, 'status', { get: () => 0xff });
      expect((await machine.command(`echo 0 >${SUSPEND}`)).exitCode).toBe(1);
      expect(await output(machine, 'while [ ! -e /tmp/dd ]; do sleep 1; done; cat /tmp/dd')).toBe('1\n');
      expect(await suspendStats(machine)).toMatchObject({ state: 'lost', failures: '1', resets: '0' });
      expect((await machine.command(`echo 1 >${SUSPEND}`)).exitCode).toBe(1);
      await startLoad(machine, { disk: '/dev/vdb' });
      expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
      await machine.destroy();
    },
    LIMIT_MS,
  );
});

describe('a suspended disk whose driver is removed', () => {
  it(
    'is resumed first, and found again by the next driver',
    async () => {
      const disk = new MemoryDisk({ capacitySectors: 2048 });
      const { machine, devices } = await startSuspending([{ disk }]);
      const bind = (what: string) => `echo virtio0 >/sys/bus/virtio/drivers/virtio_blk/${what}`;
      await output(machine, `echo data | dd of=/dev/vda 2>/dev/null; echo 1 >${SUSPEND}; ${bind('unbind')}`);
      expect(devices[0]!.trace.slice(0, 6)).toEqual(['w1f', 's1f', 's1b', 'w1f', 's0f', 'w00']);
      expect(await output(machine, `ls /sys/bus/virtio/devices/virtio0/ | grep suspend || true`)).toBe('');
      await output(machine, `${bind('bind')}; echo 1 >${SUSPEND}; echo 0 >${SUSPEND}`);
      expect(await output(machine, 'head -c 5 /dev/vda')).toBe('data\n');
      await output(machine, `echo 1 >${SUSPEND}; rmmod virtio_blk; rmmod virtio_suspend`);
      expect(await complaints(machine)).toBe('');
      await machine.destroy();
    },
    LIMIT_MS,
  );
});
