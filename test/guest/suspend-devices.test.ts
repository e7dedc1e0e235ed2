/** Linux suspends entropy, console and network devices of ours while it uses them. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConsoleDevice } from '../../src/devices/console/device.ts';
import { EntropyDevice } from '../../src/devices/entropy/device.ts';
import { NetDevice } from '../../src/devices/net/device.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Status } from '../../src/spec/status.ts';
import { complaints, output } from './commanded-guest.ts';
import { answer } from './ether-echo.ts';
import { StubbornType } from './stubborn-type.ts';
import { functionsOf, suspendStats, WatchedDevice } from './suspend-machine.ts';

const CYCLE = ['w1f', 's1f', 's1b', 'w1f', 's0f'];
const NAMES = ['entropy', 'network', 'console'] as const;
/** In the order of NAMES: where Linux has them. */
const places: number[] = [];
const attribute = (index: number): string => `/sys/bus/virtio/devices/virtio${places[index]}/suspend`;

/** The devices and the world behind them. Linux counts them in the order of their slots, which is another one. */
class World {
  readonly memory = new GuestMemory();
  readonly console: ConsoleDevice;
  readonly types: readonly StubbornType[];
  readonly devices: readonly WatchedDevice[];
  printed = '';

  constructor() {
    const entropy = new EntropyDevice(async (bytes) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      bytes.fill(0xa5);
    });
    this.console = new ConsoleDevice({
      inputLimit: 1 << 20,
      output: async (bytes) => {
        await new Promise((resolve) => setTimeout(resolve, 2));
        this.printed += Buffer.from(bytes).toString('latin1');
      },
    });
    const net = new NetDevice({
      mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
      transmit: (frame) => {
        const reply = answer(frame);
        if (reply !== undefined) net.receive(reply);
      },
    });
    this.types = [entropy, net, this.console].map((type) => new StubbornType(type));
    this.devices = this.types.map((type) => new WatchedDevice(type, this.memory));
  }

  clear(): void {
    for (const device of this.devices) device.trace = [];
  }

  get traces(): string[][] {
    return this.devices.map(({ trace }) => trace);
  }
}

/** What is there all the time: an open console that keeps what is typed, and a network. */
const SET_UP = `exec 3<>/dev/hvc0; stty raw -echo <&3; sleep 100000 <&3 &
cat /dev/hvc0 >/tmp/typed & echo $! >/tmp/reader
ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up`;

/** What uses all three devices until /tmp/stop is there. */
const USE = `rm -f /tmp/stop
(i=0; while [ ! -e /tmp/stop ]; do echo print $i; i=$((i + 1)); done >/dev/hvc0; echo $i >/tmp/count) &
(while [ ! -e /tmp/stop ]; do dd if=/dev/hwrng bs=64 count=1 2>/dev/null | od -An -v -tx1; done >/tmp/random) &
(while [ ! -e /tmp/stop ]; do ping -c 1 -W 5 10.0.0.1 >/dev/null 2>&1 && echo pong >>/tmp/ping; done) &`;

describe('a Linux that uses entropy, a console and a network', () => {
  const world = new World();
  let machine: Machine;
  let typed = 0;
  beforeAll(async () => {
    const files = await guestFiles({ suspend: true });
    const load = ['virtio-suspend', 'entropy-suspend', 'console-suspend', 'net-suspend'];
    machine = await startMachine({ files, memory: world.memory, functions: functionsOf(world.devices), load });
    const ids = (await output(machine, 'cat /sys/bus/virtio/devices/virtio*/device')).trimEnd().split('\n').map(Number);
    places.push(...world.devices.map(({ device }) => ids.indexOf(device.type.deviceId)));
    await output(machine, SET_UP);
    await output(machine, USE);
  }, 600_000);
  beforeEach(() => world.clear());
  afterAll(() => machine.destroy());

  function type(lines: number): void {
    for (let line = 0; line < lines; line++) world.console.input(Buffer.from(`typed ${typed++}\n`));
  }

  function typeAtOnce(lines: number): void {
    const first = typed;
    typed += lines;
    world.console.input(Buffer.from(typedLines().slice(first).join('')));
  }

  function typedLines(): string[] {
    return Array.from({ length: typed }, (_, n) => `typed ${n}\n`);
  }

  async function expectInUse(): Promise<void> {
    const amounts = 'wc -c </tmp/random; wc -c </tmp/ping';
    const before = (await output(machine, amounts)).split('\n').map(Number);
    const printed = world.printed.length;
    type(1);
    await expect.poll(() => output(machine, 'tail -n 1 /tmp/typed'), { timeout: 20_000 }).toBe(`typed ${typed - 1}\n`);
    await expect
      .poll(
        async () =>
          (await output(machine, amounts)).split('\n').every((now, at) => at === 2 || Number(now) > before[at]!),
        {
          timeout: 20_000,
        },
      )
      .toBe(true);
    await expect.poll(() => world.printed.length, { timeout: 20_000 }).toBeGreaterThan(printed);
  }

  /** Ends what uses the devices. */
  async function expectNothingLost(): Promise<void> {
    await output(machine, 'touch /tmp/stop');
    await expect.poll(async () => (await machine.command('cat /tmp/count')).output).toMatch(/^\d+\n$/);
    const count = Number(await output(machine, 'cat /tmp/count; rm /tmp/count'));
    const text = Array.from({ length: count }, (_, n) => `print ${n}\n`).join('');
    expect(world.printed.replace('more\n', '')).toBe(text);
    const sum = createHash('md5').update(typedLines().join('')).digest('hex');
    expect(await output(machine, 'md5sum </tmp/typed')).toBe(`${sum}  -\n`);
    expect(await output(machine, 'tr -d "\\n" </tmp/random')).toMatch(/^( a5)+$/);
    expect(await complaints(machine)).toBe('');
  }

  it('negotiates the feature with all three', async () => {
    for (const index of [0, 1, 2]) {
      expect((await output(machine, `cat ${attribute(index).replace('suspend', 'features')}`))[43]).toBe('1');
    }
    await expectInUse();
  });

  it('suspends and resumes each of them twenty times', async () => {
    const names = [0, 1, 2].map(attribute).join(' ');
    const cycles = `i=0; while [ $i -lt 20 ]; do
      for name in ${names}; do echo 1 >$name || exit 1; done
      for name in ${names}; do [ $(cat $name) = 1 ] || exit 2; done
      for name in ${names}; do echo 0 >$name || exit 3; done
      i=$((i + 1)); done`;
    const going = output(machine, cycles, 240_000);
    type(100);
    await going;
    const twenty = Array.from({ length: 20 }, () => CYCLE).flat();
    expect(world.traces).toEqual([twenty, twenty, twenty]);
    expect(world.devices.map(({ kicksWhileSuspended }) => kicksWhileSuspended)).toEqual([0, 0, 0]);
    await expectInUse();
  });

  it('keeps them suspended for a while, whatever programs do', async () => {
    for (const index of [0, 1, 2]) await output(machine, `echo 1 >${attribute(index)}`);
    type(5);
    await output(machine, 'sleep 3; ip link set eth0 down; ip link set eth0 promisc on; (echo more >/dev/hvc0 &)');
    expect((await machine.command('ip link set eth0 up')).exitCode).not.toBe(0);
    expect(world.traces).toEqual([0, 1, 2].map(() => ['w1f', 's1f', 's1b']));
    for (const index of [0, 1, 2]) await output(machine, `echo 0 >${attribute(index)}`);
    await output(machine, 'ip link set eth0 up; ip link set eth0 promisc off');
    expect(world.devices.map(({ kicksWhileSuspended }) => kicksWhileSuspended)).toEqual([0, 0, 0]);
    await expectInUse();
  });

  it('suspends all three to sleep', async () => {
    const sleep = 'echo 1 >/sys/module/suspend/parameters/pm_test_delay; echo devices >/sys/power/pm_test';
    await output(machine, `${sleep}; echo freeze >/sys/power/state`, 120_000);
    expect(world.traces).toEqual([CYCLE, CYCLE, CYCLE]);
    await expectInUse();
  });

  it('has lost nothing', async () => {
    await expectNothingLost();
    for (const index of [0, 1, 2]) {
      expect(await suspendStats(machine, places[index]!)).toMatchObject({
        failures: '0',
        resets: '0',
        state: 'running',
      });
    }
  });

  for (const [index, name] of NAMES.entries()) {
    it(`resets the ${name} device when it fails to suspend, to resume, or has lost its state, and loses nothing`, async () => {
      world.printed = '';
      await output(machine, `${USE} kill -STOP $(cat /tmp/reader)`);
      // More than the 640 KiB that the terminal takes: the rest is in buffers that the device has used.
      if (name === 'console') typeAtOnce(60_000);
      const watched = world.devices[index]!;
      const stubborn = world.types[index]!;
      stubborn.atQuiesce = 'fails';
      expect((await machine.command(`echo 1 >${attribute(index)}`)).exitCode).toBe(1);
      stubborn.atQuiesce = 'works';
      await output(machine, `echo 1 >${attribute(index)}`);
      stubborn.atWake = 'fails';
      watched.onStatus = (shown) => {
        if ((shown & Status.DEVICE_NEEDS_RESET) !== 0) stubborn.atWake = 'works';
      };
      await output(machine, `echo 0 >${attribute(index)}`);
      await output(machine, `echo 1 >${attribute(index)}`);
      watched.device.reset();
      await output(machine, `echo 0 >${attribute(index)}; kill -CONT $(cat /tmp/reader)`);
      await expectInUse();
      expect(watched.resets).toBe(6);
      expect(watched.trace.slice(-2)).toEqual(['w0f', 's0f']);
      expect(await suspendStats(machine, places[index]!)).toMatchObject({
        failures: '3',
        resets: '3',
        state: 'running',
      });
      await expectNothingLost();
    });
  }
});
