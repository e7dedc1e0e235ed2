/** Linux in a real QEMU, with devices of ours as whole PCI functions over vfio-user: it suspends them itself. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { EntropyDevice } from '../../src/devices/entropy/device.ts';
import { NetDevice } from '../../src/devices/net/device.ts';
import { serveVfioUser, type VfioUserEvent, type VfioUserServer } from '../../src/hosts/vfio-user/server.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { readDisk } from '../../src/storage/direct-request.ts';
import { FaultyDisk, seededLatency } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { PciDevice } from '../../src/transports/pci/device.ts';
import { complaints, endOfLoad, output as outputOf, startLoad } from '../guest/commanded-guest.ts';
import { answer } from '../guest/ether-echo.ts';
import { QemuMachine } from '../guest/qemu-machine.ts';
import { WatchedDevice } from '../guest/suspend-machine.ts';
import { openFds } from '../unit/unix/open-fds.ts';

const qemu = newerQemu();
if (qemu === undefined)
  console.warn('skipped: no QEMU that speaks vfio-user; `node scripts/newer-qemu.mjs` fetches one');

/** How often Linux goes to sleep; `npm run suspend-cycles` has more. */
const CYCLES = Number(process.env['VFIO_USER_CYCLES'] ?? 10);
/** How often it suspends single devices. */
const SINGLE_CYCLES = Math.max(30, CYCLES);
const CYCLE = ['w1f', 's1f', 's1b', 'w1f', 's0f'];
const NAMES = ['block', 'network', 'entropy'] as const;
const SLEEP = 'echo freeze >/sys/power/state';

/** Three devices, each served at a path of its own and with a memory of its own. */
class World {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'virtio-vfio-'));
  readonly disk = new MemoryDisk({ capacitySectors: 65536 });
  readonly devices: readonly WatchedDevice[];
  readonly functions: readonly PciDevice[];
  readonly servers: readonly VfioUserServer[];
  readonly events: VfioUserEvent[] = [];

  constructor() {
    const net = new NetDevice({
      mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
      transmit: (frame) => {
        const reply = answer(frame);
        if (reply !== undefined) net.receive(reply);
      },
    });
    const schedule = (action: () => void, delayMs: number): void => void setTimeout(action, delayMs);
    const block = new BlockDevice(new FaultyDisk(this.disk, { latency: seededLatency(7, 0, 2), schedule }));
    const types = [block, net, new EntropyDevice((bytes) => void bytes.fill(0xa5))];
    const memories = types.map(() => new GuestMemory());
    // The disk has packed rings.
    const offer = [[Feature.RING_PACKED], [], []];
    this.devices = types.map((type, n) => new WatchedDevice(type, memories[n]!, { offer: offer[n]! }));
    // The last one has INTx alone.
    this.functions = this.devices.map(({ device }, n) => new PciDevice(device, { vectors: [2, 3, 0][n]! }));
    this.servers = this.functions.map((fn, n) => {
      const path = join(this.folder, NAMES[n]!);
      return serveVfioUser({ path, function: fn, memory: memories[n]!, onEvent: (event) => this.events.push(event) });
    });
  }

  /** What QEMU is told; the order is that of the slots. */
  get args(): string[] {
    const devices = this.servers.flatMap(({ path }) => {
      const device = { driver: 'vfio-user-pci', socket: { type: 'unix', path }, 'x-msg-timeout': 60_000 };
      return ['-device', JSON.stringify(device)];
    });
    return [...devices, '-monitor', `unix:${this.monitor},server=on,wait=off`, '-action', 'reboot=reset'];
  }

  get monitor(): string {
    return join(this.folder, 'monitor');
  }

  get traces(): string[][] {
    return this.devices.map(({ trace }) => trace);
  }

  async close(): Promise<void> {
    for (const server of this.servers) await server.close();
    rmSync(this.folder, { recursive: true });
  }
}

// The guest's drivers are built with gcc and make, see vitest.config.ts.
describe.skipIf(qemu === undefined)('a Linux in QEMU with three devices of ours', () => {
  const fdsBefore = openFds();
  let world: World;
  let machine: QemuMachine;
  beforeAll(async () => {
    world = new World();
    await start();
  }, 300_000);
  beforeEach(() => {
    for (const device of world.devices) device.trace = [];
  });
  afterAll(async () => {
    await machine?.stop();
    await world.close();
  });

  async function start(): Promise<void> {
    const files = await guestFiles({ architecture: 'amd64', suspend: true });
    const load = ['virtio-suspend', 'entropy-suspend', 'net-suspend'];
    const { folder, args } = world;
    machine = await QemuMachine.start({ program: qemu!, sharedMemory: true, files, folder, load, args });
    await output('ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up');
  }

  function output(command: string, timeoutMs?: number): Promise<string> {
    return outputOf(machine, command, timeoutMs);
  }

  async function expectAllToWork(): Promise<void> {
    expect(await output('dd if=/dev/hwrng bs=64 count=4 2>/dev/null | tr -d "\\245" | wc -c')).toBe('0\n');
    await output('ping -c 1 -W 20 10.0.0.1 >/dev/null');
    await output('dd if=/dev/vda bs=64k count=4 iflag=direct 2>/dev/null | wc -c');
  }

  it('drives them, two with MSI-X, one with INTx, and agrees with us on what is on the disk', async () => {
    const write =
      'dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null; dd if=/tmp/data of=/dev/vda oflag=direct bs=64k 2>/dev/null';
    const inside = await output(
      `${write}; dd if=/dev/vda iflag=direct bs=64k count=64 2>/dev/null | md5sum; md5sum </tmp/data`,
    );
    const outside = createHash('md5')
      .update(await readDisk(world.disk, 0, 64 * 65536))
      .digest('hex');
    expect(inside).toBe(`${outside}  -\n${outside}  -\n`);
    const interrupts = await output('grep virtio /proc/interrupts');
    expect(interrupts.match(/PCI-MSI.*virtio/g)).toHaveLength(5);
    expect(interrupts).toMatch(/IO-APIC.*virtio/);
    await expectAllToWork();
    const has = (bit: number): boolean[] => world.devices.map(({ device }) => hasFeature(device.accepted, bit));
    expect([has(Feature.SUSPEND), has(Feature.RING_PACKED)]).toEqual([
      [true, true, true],
      [true, false, false],
    ]);
    expect(world.servers.map(({ status }) => status)).toEqual(
      NAMES.map(() => ({ connected: true, sessions: 1, dmaRegions: expect.any(Number), mappedBytes: 256 << 20 })),
    );
  });

  it(
    `suspends them all through the bit when it goes to sleep, and wakes up by the serial line: ${CYCLES} times`,
    async () => {
      await startLoad(machine);
      for (let n = 0; n < CYCLES; n++) {
        for (const device of world.devices) device.trace = [];
        const asleep = machine.command(SLEEP, { timeoutMs: 120_000 });
        await expect
          .poll(() => world.devices.map(({ device }) => device.status), { timeout: 60_000, interval: 20 })
          .toEqual([0x1b, 0x1b, 0x1b]);
        // The processor rests a moment after the last device.
        const waking = setInterval(() => machine.serial.send('\n'), 250);
        try {
          expect(await asleep).toMatchObject({ output: '', exitCode: 0 });
        } finally {
          clearInterval(waking);
        }
        expect(world.traces).toEqual([CYCLE, CYCLE, CYCLE]);
        await expectAllToWork();
      }
    },
    CYCLES * 60_000 + 180_000,
  );

  it(
    `suspends single devices while they are used: ${SINGLE_CYCLES} times`,
    async () => {
      const places = (await output('cat /sys/bus/virtio/devices/virtio*/device')).trimEnd().split('\n').map(Number);
      const attribute = ({ device }: WatchedDevice): string => {
        return `/sys/bus/virtio/devices/virtio${places.indexOf(device.type.deviceId)}/suspend`;
      };
      const [block, ...others] = world.devices.map(attribute);
      const each = [block, ...others].map(
        (path) => `echo 1 >${path} && [ $(cat ${path}) = 1 ] && echo 0 >${path} || exit 1`,
      );
      await output(
        `i=0; while [ $i -lt ${SINGLE_CYCLES} ]; do ${each.join('; ')}; i=$((i + 1)); done`,
        SINGLE_CYCLES * 6000,
      );
      const expected = Array.from({ length: SINGLE_CYCLES }, () => CYCLE).flat();
      expect(world.traces).toEqual([expected, expected, expected]);
      expect(world.devices.map(({ kicksWhileSuspended }) => kicksWhileSuspended)).toEqual([0, 0, 0]);
      await expectAllToWork();
    },
    SINGLE_CYCLES * 6000 + 60_000,
  );

  it('sees nothing of it when we pause them', async () => {
    for (let n = 0; n < 10; n++) {
      await Promise.all(world.devices.map(({ device }) => device.pause()));
      for (const fn of world.functions) expect(JSON.stringify(fn.save()).length).toBeGreaterThan(100);
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const { device } of world.devices) device.continue();
      await output('dd if=/dev/vda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null');
    }
    expect(world.traces).toEqual([[], [], []]);
    await expectAllToWork();
  });

  it('has lost nothing', async () => {
    expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
    expect(await complaints(machine)).toBe('');
    expect(world.devices.flatMap(({ failures }) => failures)).toEqual([]);
  }, 300_000);

  it('resets them with the machine, and boots from there', async () => {
    const monitor = connect(world.monitor);
    await once(monitor, 'connect');
    monitor.write('system_reset\n');
    await machine.boot();
    monitor.destroy();
    await output('ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up');
    await expectAllToWork();
    for (const { trace } of world.devices) expect(trace.filter((entry) => entry === 's0f').length).toBeGreaterThan(0);
  }, 120_000);

  it('are served to the next machine when QEMU is killed in the middle of its reads', async () => {
    await output('dd if=/dev/vda of=/dev/null bs=4k iflag=direct 2>/dev/null &');
    await machine.stop();
    await start();
    await expectAllToWork();
    expect(world.servers.map(({ status }) => status)).toMatchObject(
      NAMES.map(() => ({ connected: true, sessions: 2 })),
    );
  }, 120_000);

  it('have nothing of a machine left when it is gone', async () => {
    await machine.stop();
    await expect.poll(() => world.servers.map(({ status }) => status.connected)).toEqual([false, false, false]);
    for (const server of world.servers) await server.close();
    expect(world.servers.map(({ status }) => status.dmaRegions)).toEqual([0, 0, 0]);
    expect(world.events.filter(({ kind }) => kind === 'reset').length).toBeGreaterThan(0);
    expect(world.events.filter(({ kind }) => kind !== 'connected' && kind !== 'reset')).toEqual(
      [...NAMES, ...NAMES].map(() => ({ kind: 'disconnected', error: undefined })),
    );
    expect(openFds()).toBe(fdsBefore);
  });
});
