/** Entropy, console and network devices of ours under a real Linux guest, which is saved while it uses all three. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Device } from '../../src/device/device.ts';
import { ConsoleDevice } from '../../src/devices/console/device.ts';
import { EntropyDevice } from '../../src/devices/entropy/device.ts';
import { NetDevice } from '../../src/devices/net/device.ts';
import { type GuestFiles, guestFiles } from '../../src/machine/guest-files.ts';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { ioLayout, PciDevice } from '../../src/transports/pci/device.ts';
import { output } from './commanded-guest.ts';
import { answer, arpRequest, isArpReply } from './ether-echo.ts';
import { ownCacheFolder } from './linux-machine.ts';

const BOOT_MS = 300_000;
const cacheFolder = ownCacheFolder();
let files: GuestFiles;

async function wait(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** The three devices, and the world behind them. */
class World {
  readonly memory = new GuestMemory();
  readonly random: number;
  readonly entropy: EntropyDevice;
  readonly console: ConsoleDevice;
  readonly net: NetDevice;
  readonly devices: readonly Device[];
  readonly failures: Error[] = [];
  printed = '';
  arpReplies = 0;

  /** Every random byte is `random`; `printMs` is how long a terminal takes for a buffer. */
  constructor(random: number, printMs: number) {
    this.random = random;
    this.entropy = new EntropyDevice(async (bytes) => {
      await wait(2);
      bytes.fill(random);
    });
    this.console = new ConsoleDevice({
      output: async (bytes) => {
        await wait(printMs);
        this.printed += Buffer.from(bytes).toString('latin1');
      },
      size: { rows: 40, columns: 120 },
      sizeOrder: 'before-1.4',
    });
    this.net = new NetDevice({
      mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
      transmit: (frame) => {
        if (isArpReply(frame)) this.arpReplies++;
        const reply = answer(frame);
        if (reply !== undefined) this.net.receive(reply);
      },
    });
    this.devices = [this.entropy, this.console, this.net].map((type) => {
      const device = new Device(type, this.memory);
      device.observer = { failed: (error) => this.failures.push(error) };
      return device;
    });
  }

  get options(): MachineOptions {
    const functions = this.devices.map((device) => ({ pci: new PciDevice(device, { layout: ioLayout }) }));
    return { files, memory: this.memory, functions };
  }

  type(text: string): void {
    if (!this.console.input(Buffer.from(text))) throw new Error('the console takes no more input');
  }
}

async function start(world: World): Promise<Machine> {
  const load = ['virtio', 'entropy', 'console', 'net'];
  const machine = await startMachine({ ...world.options, cacheFolder, load });
  await output(machine, 'ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up');
  // A console that nobody has open forgets its settings, and hears of no size.
  await output(machine, 'exec 3<>/dev/hvc0; stty raw -echo <&3; sleep 100000 <&3 &');
  return machine;
}

/** Polls the guest until a command prints what is wanted. */
async function eventually(machine: Machine, command: string, wanted: string | RegExp): Promise<void> {
  let last = '';
  for (let attempt = 0; attempt < 100; attempt++) {
    last = (await machine.command(command)).output;
    if (typeof wanted === 'string' ? last === wanted : wanted.test(last)) return;
    await wait(100);
  }
  throw new Error(`\`${command}\` still prints ${JSON.stringify(last)}`);
}

beforeAll(async () => {
  files = await guestFiles();
}, BOOT_MS);

describe('a Linux guest', () => {
  const world = new World(0xa5, 0);
  let machine: Machine;
  beforeAll(async () => {
    machine = await start(world);
  }, BOOT_MS);
  afterAll(async () => {
    await machine.destroy();
    expect(world.failures).toEqual([]);
  });

  it('has the random bytes of the entropy device', async () => {
    expect(await output(machine, 'cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/);
    const bytes = await output(machine, 'dd if=/dev/hwrng bs=100 count=5 iflag=fullblock 2>/dev/null | od -An -v -tx1');
    expect(bytes.trim().split(/\s+/)).toEqual(Array.from({ length: 500 }, () => 'a5'));
  });

  it('prints to the console, and is typed to', async () => {
    const text = Array.from({ length: 200 }, (_, n) => `line ${n}\n`).join('');
    await output(machine, 'i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i + 1)); done >/dev/hvc0');
    expect(world.printed).toBe(text);
    await output(machine, 'cat /dev/hvc0 >/tmp/typed &');
    for (const line of text.match(/.*\n/g)!) world.type(line);
    await eventually(machine, 'wc -l </tmp/typed', '200\n');
    expect(await output(machine, 'cat /tmp/typed')).toBe(text);
  });

  // Linux asks for the size when it changes, and not before.
  it('sees every new size of the console', async () => {
    for (const [rows, columns] of [
      [33, 101],
      [50, 132],
    ] as const) {
      world.console.resize({ rows, columns });
      await eventually(machine, 'stty -F /dev/hvc0 size', `${rows} ${columns}\n`);
    }
  });

  it('reaches the network, as long as there is a link', async () => {
    expect(await output(machine, 'cat /sys/class/net/eth0/address')).toBe('52:54:00:12:34:56\n');
    expect(await output(machine, 'ping -c 3 -W 5 10.0.0.1')).toContain('3 packets transmitted, 3 packets received');
    expect(await output(machine, 'ping -c 2 -W 5 -s 1472 10.0.0.1')).toContain('2 packets received, 0% packet loss');
    world.net.setLink('down');
    await eventually(machine, 'cat /sys/class/net/eth0/carrier', '0\n');
    world.net.setLink('up');
    await eventually(machine, 'cat /sys/class/net/eth0/carrier', '1\n');
    expect(await output(machine, 'ping -c 1 -W 5 10.0.0.1')).toContain('1 packets received');
  });
});

describe('a Linux guest that uses all three', () => {
  /** What is typed: numbered lines, from `from` on. */
  const lines = (from: number, count: number): string =>
    Array.from({ length: count }, (_, n) => `typed ${from + n}\n`).join('');

  const lastRandom = (world: World): RegExp => new RegExp(` ${world.random.toString(16)}\\n$`);

  /** Stops the processor while a buffer is being printed, then brings the devices to rest. */
  async function pauseInMidAir(machine: Machine, world: World): Promise<void> {
    await machine.pause();
    for (let attempt = 0; world.devices.every(({ inFlight }) => inFlight === 0); attempt++) {
      if (attempt === 200) throw new Error('the guest has nothing on its way, in 200 attempts');
      machine.continue();
      await wait(7);
      await machine.pause();
    }
    await Promise.all(world.devices.map((device) => device.pause()));
  }

  it(
    'goes on with them when it is saved in the middle, again and again, and restored in another machine',
    async () => {
      let world = new World(0xa0, 1);
      let machine = await start(world);
      await output(
        machine,
        [
          'cat /dev/hvc0 >/tmp/typed &',
          '(i=0; while [ ! -e /tmp/stop ]; do echo print $i; i=$((i + 1)); done >/dev/hvc0; echo $i >/tmp/count) &',
          '(while [ ! -e /tmp/stop ]; do dd if=/dev/hwrng bs=64 count=1 2>/dev/null | od -An -v -tx1; done >/tmp/random) &',
          'ping 10.0.0.1 >/tmp/ping & echo $! >/tmp/pid',
        ].join('\n'),
      );
      let printed = '';
      let typed = 0;
      for (let round = 1; round <= 3; round++) {
        world.type(lines(typed, 50));
        typed += 50;
        await wait(1000);
        await eventually(machine, 'tail -n 1 /tmp/random', lastRandom(world));
        await pauseInMidAir(machine, world);
        // What comes now is neither delivered nor lost: it goes along.
        world.type(lines(typed, 50));
        typed += 50;
        world.net.receive(arpRequest([10, 0, 0, 2]));
        expect(world.arpReplies).toBe(0);
        const state = await machine.saveState();
        await machine.destroy();
        expect(world.failures).toEqual([]);
        printed += world.printed;

        world = new World(0xa0 + round, 1);
        machine = await Machine.fromState(world.options, state);
        for (const device of world.devices) device.continue();
        machine.continue();
        while (world.arpReplies === 0) await wait(20);
        world.arpReplies = 0;
      }
      world.console.resize({ rows: 24, columns: 81 });
      await eventually(machine, 'stty -F /dev/hvc0 size', '24 81\n');
      await eventually(machine, 'tail -n 1 /tmp/typed', `typed ${typed - 1}\n`);
      await eventually(machine, 'tail -n 1 /tmp/random', lastRandom(world));
      await output(machine, 'touch /tmp/stop; kill -INT $(cat /tmp/pid)');
      await eventually(machine, 'cat /tmp/count', /^\d+\n$/);

      expect(await output(machine, 'cat /tmp/typed')).toBe(lines(0, typed));
      const count = Number(await output(machine, 'cat /tmp/count'));
      expect(count).toBeGreaterThan(20);
      const text = Array.from({ length: count }, (_, n) => `print ${n}\n`).join('');
      expect(printed + world.printed).toBe(text);
      const random = await output(machine, 'tr -d "\\n" </tmp/random');
      expect(random).toMatch(/^( a0)+( a1)+( a2)+( a3)+$/);
      expect(await output(machine, 'tail -n 2 /tmp/ping')).toContain(' 0% packet loss');
      expect(world.failures).toEqual([]);
      await machine.destroy();
    },
    BOOT_MS,
  );
});
