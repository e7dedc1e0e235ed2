/**
 * A QEMU that moves the state of a vhost-user device with its machine. It asks for DEVICE_STATE where it has a vhost-user-fs device, and only
 * there; what is behind that device does not matter to it, so it is one of ours that has something to remember.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import { type ServerEvent, serveVhostUser } from '../../src/hosts/vhost-user/server.ts';
import { monitor } from '../guest/qemu-monitor.ts';
import { ControlledType } from '../support/controlled-type.ts';

const qemu = newerQemu();
if (qemu === undefined)
  console.warn('skipped: no QEMU that asks for DEVICE_STATE; `node scripts/newer-qemu.mjs` fetches one');

/** QEMU's ring has so many entries. */
const RING_SIZE = 128;

it.skipIf(qemu === undefined)(
  'QEMU asks the back-end that it leaves for the state of the device, and gives it to the next',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-state-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = (name: string): string => join(folder, name);
    const events: ServerEvent[] = [];
    const start = async (name: string, ...more: readonly string[]): Promise<ControlledType> => {
      const type = new ControlledType(RING_SIZE);
      const server = await serveVhostUser({
        path: path(name),
        device: () => type,
        onEvent: (event) => events.push(event),
      });
      const machine: ChildProcess = spawn(
        qemu!,
        [
          ...['-accel', 'tcg', '-m', '64', '-display', 'none', '-nodefaults', '-S'],
          ...['-object', 'memory-backend-memfd,id=memory,size=64M,share=on', '-machine', 'q35,memory-backend=memory'],
          ...[
            '-chardev',
            `socket,id=fs,path=${path(name)}`,
            '-device',
            'vhost-user-fs-pci,chardev=fs,tag=fs,num-request-queues=2',
          ],
          ...['-monitor', `unix:${path(`${name}.monitor`)},server=on,wait=off`, ...more],
        ],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      const ended = new Promise((resolve) => machine.once('exit', resolve));
      onTestFinished(async () => {
        machine.kill('SIGKILL');
        await ended;
        await server.close();
      });
      await expect.poll(() => existsSync(path(`${name}.monitor`)), { timeout: 20_000 }).toBe(true);
      return type;
    };
    const from = await start('from');
    const to = await start('to', '-incoming', `unix:${path('incoming')}`);
    await expect.poll(() => existsSync(path('incoming')), { timeout: 20_000 }).toBe(true);
    from.knob = 77;
    await monitor(path('from.monitor'), `migrate -d unix:${path('incoming')}`);
    await expect
      .poll(() => monitor(path('from.monitor'), 'info migrate'), { timeout: 60_000 })
      .toMatch(/Status:\s+(completed|failed)/);
    expect(await monitor(path('from.monitor'), 'info migrate')).toMatch(/Status:\s+completed/);
    expect(to.knob).toBe(77);
    expect(events.filter(({ event }) => event === 'rejected' || event === 'failed')).toEqual([]);
  },
);
