/** A Linux that goes to sleep, with disks that it suspends for that instead of resetting them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceType } from '../../src/device/device-type.ts';
import { Feature } from '../../src/spec/features.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { complaints, endOfLoad, output, startLoad } from './commanded-guest.ts';
import { StubbornType } from './stubborn-type.ts';
import { type SuspendingMachine, startSuspending, type WatchedDevice } from './suspend-machine.ts';

const SUSPEND = '/sys/bus/virtio/devices/virtio0/suspend';
const CYCLE = ['w1f', 's1f', 's1b', 'w1f', 's0f'];
/** All of a sleep but the sleep itself: the kernel wakes up after a second. */
const SLEEP_TEST =
  'echo 1 >/sys/module/suspend/parameters/pm_test_delay; echo devices >/sys/power/pm_test; echo freeze >/sys/power/state';
const SLEEP =
  'echo none >/sys/power/pm_test; echo enabled >/sys/class/tty/ttyS0/power/wakeup; echo freeze >/sys/power/state';

describe('a Linux with two busy disks that goes to sleep', () => {
  let started: SuspendingMachine;
  let types: StubbornType[];
  beforeAll(async () => {
    types = [];
    const wrap = (inner: DeviceType): StubbornType => {
      const type = new StubbornType(inner);
      types.push(type);
      return type;
    };
    const disks = [0, 1].map(() => ({ disk: new MemoryDisk({ capacitySectors: 65536 }), wrap }));
    started = await startSuspending(disks);
    await output(started.machine, 'while :; do :; done >/dev/null 2>&1 &');
    await output(
      started.machine,
      'while :; do dd if=/dev/vdb of=/dev/null bs=64k iflag=direct; done >/dev/null 2>&1 &',
    );
    await startLoad(started.machine);
  }, 600_000);
  beforeEach(() => clear());
  afterAll(() => started.machine.destroy());

  function clear(): void {
    for (const device of started.devices) device.trace = [];
  }

  function traces(): string[][] {
    return started.devices.map(({ trace }) => trace);
  }

  /** Goes to sleep, and wakes the guest when it sleeps. */
  async function sleep(): Promise<void> {
    const asleep = Promise.all(started.devices.map((device) => reached(device, 0x1b)));
    const command = started.machine.command(SLEEP, { timeoutMs: 120_000 });
    await asleep;
    // The processor rests a moment after the last device, and does not wake up by itself.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(started.devices.map(({ device }) => device.status)).toEqual([0x1b, 0x1b]);
    started.machine.serial.send('\n');
    expect(await command).toMatchObject({ output: '', exitCode: 0 });
  }

  it('suspends and resumes both', async () => {
    await output(started.machine, SLEEP_TEST, 120_000);
    expect(traces()).toEqual([CYCLE, CYCLE]);
  });

  it('sleeps until a byte comes on the serial port', async () => {
    await sleep();
    expect(traces()).toEqual([CYCLE, CYCLE]);
  });

  it('resets the one that cannot suspend, and sleeps all the same', async () => {
    types[0]!.atQuiesce = 'fails';
    await output(started.machine, SLEEP_TEST, 120_000);
    types[0]!.atQuiesce = 'works';
    expect(traces()[0]!.slice(0, 4)).toEqual(['w1f', 's1f', 's4f', 'w00']);
    expect(started.devices[0]!.resets).toBe(4);
    expect(traces()[1]).toEqual(CYCLE);
  });

  it('uses one while the other is suspended', async () => {
    const { machine } = started;
    await output(machine, `echo 1 >${SUSPEND.replace('virtio0', 'virtio1')}`);
    const written = 'grep -c . /tmp/load || true';
    const before = await output(machine, written);
    await expect.poll(() => output(machine, written), { timeout: 60_000 }).not.toBe(before);
    await output(machine, `echo 0 >${SUSPEND.replace('virtio0', 'virtio1')}`);
    expect(traces()).toEqual([[], CYCLE]);
  });

  it('has lost nothing', async () => {
    expect(await endOfLoad(started.machine)).toEqual({ bad: 0, verified: true });
    expect(await complaints(started.machine)).toBe('');
    expect(started.devices.map(({ kicksWhileSuspended }) => kicksWhileSuspended)).toEqual([0, 0]);
  });
});

describe('a Linux with two quiet disks, one of them suspended', () => {
  let started: SuspendingMachine;
  beforeAll(async () => {
    const disks = [0, 1].map(() => ({ disk: new MemoryDisk({ capacitySectors: 2048 }) }));
    started = await startSuspending(disks);
  }, 600_000);
  beforeEach(async () => {
    await output(started.machine, `echo 1 >${SUSPEND}`);
    for (const device of started.devices) device.trace = [];
  });
  afterAll(() => started.machine.destroy());

  it('leaves it so when it sleeps', async () => {
    const { machine, devices } = started;
    await output(machine, SLEEP_TEST, 120_000);
    expect(devices.map(({ trace }) => trace)).toEqual([[], CYCLE]);
    await output(machine, `echo 0 >${SUSPEND}`);
    expect(devices[0]!.trace).toEqual(['w1f', 's0f']);
  });

  it('resets both to hibernate', async () => {
    const { machine, devices } = started;
    await output(
      machine,
      'echo 1 >/sys/module/suspend/parameters/pm_test_delay; echo devices >/sys/power/pm_test; echo disk >/sys/power/state',
      120_000,
    );
    expect(devices[0]!.trace.slice(0, 4)).toEqual(['w1f', 's0f', 'w00', 's00']);
    expect(devices.map(({ resets }) => resets)).toEqual([2, 2]);
    expect(devices.map(({ device }) => device.status)).toEqual([0x0f, 0x0f]);
    expect(await output(machine, `cat ${SUSPEND}`)).toBe('0\n');
  });
});

describe('a disk that does not offer to be suspended', () => {
  it('is reset for a sleep, as ever', async () => {
    const disk = new MemoryDisk({ capacitySectors: 65536 });
    const { machine, devices } = await startSuspending([{ disk, options: { withhold: [Feature.SUSPEND] } }]);
    expect((await output(machine, 'cat /sys/bus/virtio/devices/virtio0/features'))[43]).toBe('0');
    expect((await machine.command(`ls ${SUSPEND}`)).exitCode).toBe(1);
    await startLoad(machine);
    await output(machine, SLEEP_TEST, 120_000);
    expect(devices[0]!.resets).toBe(2);
    expect(devices[0]!.trace).not.toContain('w1f');
    expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
    await machine.destroy();
  }, 600_000);
});

describe('a disk that grows while it is suspended', () => {
  it('has its new size afterwards, and only then', async () => {
    const disk = new MemoryDisk({ capacitySectors: 2048 });
    const { machine } = await startSuspending([{ disk }]);
    const size = 'cat /sys/block/vda/size';
    await output(machine, `echo 1 >${SUSPEND}`);
    disk.resize(4096);
    expect(await output(machine, `sleep 1; ${size}`)).toBe('2048\n');
    await output(machine, `echo 0 >${SUSPEND}`);
    await expect.poll(() => output(machine, size), { timeout: 30_000 }).toBe('4096\n');
    await output(machine, 'dd if=/dev/zero of=/dev/vda seek=4095 count=1 oflag=direct 2>/dev/null');
    expect(await complaints(machine)).toBe('');
    await machine.destroy();
  }, 600_000);
});

function reached(device: WatchedDevice, status: number): Promise<void> {
  return new Promise((resolve) => {
    device.onStatus = (shown) => shown === status && resolve();
  });
}
