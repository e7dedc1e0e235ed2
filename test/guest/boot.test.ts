/** A real Linux guest. The first run downloads Debian packages into the cache folder of virtio-ts. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GuestFiles, guestFiles } from '../../src/machine/guest-files.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { startMachine } from '../../src/machine/ready-state.ts';
import { StateError, TransportError } from '../../src/spec/fault.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { output } from './commanded-guest.ts';
import { blockDevices, ownCacheFolder } from './linux-machine.ts';

const BOOT_MS = 300_000;
const cacheFolder = ownCacheFolder();
let files: GuestFiles;

/** The names of the steps, each once, and the machine. */
async function start(capacitySectors: number): Promise<{ machine: Machine; steps: string[] }> {
  const { memory, functions } = blockDevices([new MemoryDisk({ capacitySectors })]);
  const steps = new Set<string>();
  const machine = await startMachine({
    files,
    memory,
    functions,
    cacheFolder,
    onProgress: ({ name }) => steps.add(name),
  });
  return { machine, steps: [...steps] };
}

function readyStates(): string[] {
  return readdirSync(cacheFolder).filter((name) => name.startsWith('ready-'));
}

beforeAll(async () => {
  files = await guestFiles();
}, BOOT_MS);

describe('a guest that was booted', () => {
  let machine: Machine;
  beforeAll(async () => {
    const started = await start(2048);
    machine = started.machine;
    expect(started.steps).toEqual([
      'booting the guest',
      'keeping the booted guest for the next start',
      'starting the guest',
    ]);
  }, BOOT_MS);
  afterAll(() => machine.destroy());

  it('is Linux, with the disk that was plugged in', async () => {
    expect(await output(machine, 'uname -s')).toBe('Linux\n');
    expect(await output(machine, 'cat /sys/block/vda/size')).toBe('2048\n');
    expect(await output(machine, 'cat /sys/bus/pci/devices/0000:00:14.0/vendor')).toBe('0x1af4\n');
  });

  it('has the time of day', async () => {
    const seconds = Number(await output(machine, 'date +%s'));
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(30);
  });

  it('runs commands of several lines, and tells output from exit code', async () => {
    const command = 'echo "one\ntwö" >&2\nprintf three\nexit 7';
    expect(await machine.command(command)).toEqual({ output: 'one\ntwö\nthree', exitCode: 7 });
    expect(await machine.command('false')).toEqual({ output: '', exitCode: 1 });
  });

  it('gives each command a shell of its own', async () => {
    await output(machine, 'cd /proc; name=value');
    expect(await output(machine, 'pwd; echo "[$name]"')).toBe('/root\n[]\n');
  });

  it('loses nothing of a long output', async () => {
    const lines = (await output(machine, 'seq 5000')).trimEnd().split('\n');
    expect(lines).toEqual(Array.from({ length: 5000 }, (_, n) => String(n + 1)));
  });

  it('goes on with a command that took too long, and then does the next one', async () => {
    const slow = machine.command('sleep 2; echo late', { timeoutMs: 100 });
    await expect(slow).rejects.toBeInstanceOf(TransportError);
    expect(await output(machine, 'echo next')).toBe('next\n');
  });

  it('has a shell on its console, which commands do not disturb', async () => {
    machine.serial.send('echo $((40 + 2)) answers\n');
    expect(await output(machine, 'echo "from a command"')).toBe('from a command\n');
    expect(await machine.serial.waitFor(/42 answers/)).toBe('42 answers');
  });

  it('stands still while it is paused', async () => {
    await machine.pause();
    machine.serial.send('echo $((1000 + 1))\n');
    await expect(machine.serial.waitFor('1001', { timeoutMs: 300 })).rejects.toBeInstanceOf(TransportError);
    machine.continue();
    expect(await machine.serial.waitFor('1001')).toBe('1001');
  });
});

describe('a ready state', () => {
  it('spares the boot, whatever disk is there', async () => {
    expect(readyStates().length).toBe(1);
    const { machine, steps } = await start(4096);
    expect(steps).toEqual(['restoring the booted guest', 'starting the guest']);
    expect(await output(machine, 'cat /sys/block/vda/size')).toBe('4096\n');
    await machine.destroy();
  }, 60_000);

  it(
    'that was damaged is made anew',
    async () => {
      const path = join(cacheFolder, readyStates()[0]!);
      const packed = readFileSync(path);
      packed[packed.length >> 1]! ^= 1;
      writeFileSync(path, packed);
      const { machine, steps } = await start(2048);
      expect(steps).toContain('booting the guest');
      expect(await output(machine, 'cat /sys/block/vda/size')).toBe('2048\n');
      await machine.destroy();
      expect(readFileSync(path).equals(packed)).toBe(false);
    },
    BOOT_MS,
  );
});

describe('a machine that was destroyed', () => {
  it(
    'says so to everyone who waits for it, and to who comes later',
    async () => {
      const { machine } = await start(2048);
      const command = machine.command('sleep 100');
      const waiting = machine.serial.waitFor('never');
      const both = [expect(command).rejects.toThrow(StateError), expect(waiting).rejects.toThrow(StateError)];
      await machine.destroy();
      await Promise.all(both);
      await expect(machine.command('true')).rejects.toThrow('the machine was destroyed');
      expect(() => machine.continue()).toThrow(StateError);
    },
    BOOT_MS,
  );
});
