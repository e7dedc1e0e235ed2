/** `virtio serve --trace`: what a driver and our device do over vfio-user, judged from the file; the driver is ours, then Linux's in QEMU. */
import { readFileSync, truncateSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import type { TraceReport } from '../../src/cli/check/verdict-report.ts';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { VfioUserClient } from '../../src/hosts/vfio-user/client.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { endOfLoad, output, startLoad } from '../guest/commanded-guest.ts';
import { QemuMachine } from '../guest/qemu-machine.ts';
import { pattern } from '../support/rig.ts';
import { cleanUp, drive, folder, freshName, places, serve } from './served-disk.ts';
import { virtio } from './virtio.ts';

const qemu = newerQemu();
if (qemu === undefined)
  console.warn('skipped: a recording of Linux in QEMU; `node scripts/newer-qemu.mjs` fetches one');

interface Wrong {
  readonly id: string;
  readonly role: string;
  readonly message: string;
  /** Of the trace, which show it. */
  readonly lines: readonly number[];
}

/** Judges a trace: which rules were kept, and what is wrong. */
async function judged(file: string): Promise<{ passed: readonly string[]; wrong: readonly Wrong[] }> {
  const json = folder.path(freshName('report'));
  await virtio(['check', 'trace', file, '--json', json]);
  const { rules } = JSON.parse(readFileSync(json, 'utf8')) as TraceReport;
  const wrong = rules.filter(({ result }) => result === 'fail' || result === 'warning');
  return {
    passed: rules.filter(({ result }) => result === 'pass').map(({ id }) => id),
    wrong: wrong.flatMap(({ id, role, failures }) =>
      failures.map(({ message, events }) => ({ id, role, message, lines: events.map(({ line }) => line) })),
    ),
  };
}

/** A driver's reset. */
const STATUS_IS_0 = /"structure":"common","offset":20,"access":"write","width":1,"value":0,/;

const SUSPENDS = ['suspend.driver.4', 'suspend.device.4', 'suspend.device.9'];

describe('a trace of a server', () => {
  it('has what our driver and the device do, and all of it is as it should be', async () => {
    const trace = folder.path(freshName('trace'));
    const { server, socket } = await serve('vfio-user', places(), ['--trace', trace]);
    const driver = await drive('vfio-user', socket);
    for (let round = 0; round < 3; round++) {
      const load = Array.from({ length: 8 }, (_, sector) => driver.write(sector, pattern(512, round + sector)));
      await driver.suspend();
      await driver.resume();
      await Promise.all(load);
      expect(await driver.read(7, 512)).toEqual(pattern(512, round + 7));
    }
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
    const { passed, wrong } = await judged(trace);
    expect(wrong).toEqual([]);
    expect(passed).toEqual(expect.arrayContaining([...SUSPENDS, 'pci.device.discovery.1', 'packed.device.used.id']));
  });

  it('has a reset of the machine as one of the driver, after which another driver begins', async () => {
    const trace = folder.path(freshName('trace'));
    const { server, socket } = await serve('vfio-user', places(), ['--trace', trace]);
    const client = await VfioUserClient.connect(socket);
    cleanUp.push(() => client.close());
    for (let life = 0; life < 2; life++) {
      const driver = new BlockDriver(
        await PciDriverTransport.open(client),
        new GuestAllocator(client.memory, 0x1000, 1 << 20),
      );
      await driver.initialize();
      await driver.write(3, pattern(512, life));
      await client.reset();
    }
    await server.says(/"event":"reset".*\n.*"event":"reset"/);
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
    const { passed, wrong } = await judged(trace);
    expect(wrong).toEqual([]);
    expect(passed).toEqual(expect.arrayContaining(['status.driver.2', 'packed.device.used.id']));
    expect(readFileSync(trace, 'utf8').match(/"kind":"status.write","value":0,/g)).toHaveLength(2);
  });

  it('that cannot be written any more says so, and the disk goes on', async () => {
    const { server, socket } = await serve('vfio-user', places(), ['--trace', '/dev/full']);
    const driver = await drive('vfio-user', socket);
    for (let n = 0; n < 200; n++) await driver.write(n % 8, pattern(512, n));
    await server.says(/"event":"trace-failed","file":"\/dev\/full","reason":"ENOSPC/);
    expect(await driver.read(7, 512)).toEqual(pattern(512, 199));
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
    expect(server.stdout.match(/trace-failed/g)).toHaveLength(1);
  });

  // The guest's driver is built with gcc and make.
  it.skipIf(qemu === undefined)(
    'has what Linux in QEMU does, through suspends under load',
    async () => {
      const trace = folder.path(freshName('trace'));
      const place = places();
      truncateSync(place.image, 64 << 20);
      const { server, socket } = await serve('vfio-user', place, ['--trace', trace]);
      const files = await guestFiles({ architecture: 'amd64', suspend: true });
      const device = { driver: 'vfio-user-pci', socket: { type: 'unix', path: socket }, 'x-msg-timeout': 60_000 };
      const args = ['-device', JSON.stringify(device), '-action', 'reboot=reset'];
      const load = ['virtio-suspend'];
      const machine = await QemuMachine.start({
        program: qemu!,
        sharedMemory: true,
        files,
        folder: folder.path('.'),
        load,
        args,
      });
      try {
        const suspends = async (): Promise<void> => {
          const path = (await output(machine, 'ls /sys/bus/virtio/devices/virtio*/suspend')).trim();
          await output(machine, `i=0; while [ $i -lt 10 ]; do echo 1 >${path}; echo 0 >${path}; i=$((i + 1)); done`);
        };
        await startLoad(machine);
        await suspends();
        expect(await endOfLoad(machine)).toEqual({ bad: 0, verified: true });
      } finally {
        await machine.stop();
      }
      server.child.kill('SIGTERM');
      expect((await server.ended).code).toBe(0);
      const { passed, wrong } = await judged(trace);
      expect(passed).toEqual(expect.arrayContaining([...SUSPENDS, 'pci.driver.msix.5']));
      // The firmware drives the disk first, and not by the letter: what it has done wrong is before Linux's reset.
      const linux =
        1 +
        readFileSync(trace, 'utf8')
          .split('\n')
          .findLastIndex((line) => STATUS_IS_0.test(line));
      expect(linux).toBeGreaterThan(100);
      expect(wrong.filter(({ role, lines }) => role === 'device' || lines.some((line) => line >= linux))).toEqual([]);
    },
    300_000,
  );
});
