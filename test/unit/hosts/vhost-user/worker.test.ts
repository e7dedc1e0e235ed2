/** A server with a thread of its own, as built: a worker cannot load TypeScript. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockDriver } from 'virtio-ts/devices/block';
import { serveVhostUserInWorker, VhostUserTransport, type VhostUserWorker } from 'virtio-ts/hosts/vhost-user';
import { GuestAllocator } from 'virtio-ts/memory';
import { DeviceId } from 'virtio-ts/spec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pattern } from '../../../support/rig.ts';

const module = new URL('./worker-disk.mjs', import.meta.url);
let folder: string;
let path: string;
let server: VhostUserWorker | undefined;
let transport: VhostUserTransport | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  path = join(folder, 'socket');
});
afterEach(async () => {
  transport?.close();
  await server?.close();
  transport = server = undefined;
  rmSync(folder, { recursive: true });
});

async function start(behaviour: 'good' | 'slow', pollUs: number): Promise<BlockDriver> {
  server = await serveVhostUserInWorker({ path, module, options: { behaviour, queues: 1 }, pollUs });
  transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
  const { memory } = transport;
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, memory.regions[0]!.size - 0x1000));
  await driver.initialize();
  return driver;
}

describe.each([
  ['that looks at its queues', 50],
  ['that waits for kicks', 0],
] as const)('a thread %s', (_name, pollUs) => {
  it('does what a driver asks', async () => {
    const driver = await start('good', pollUs);
    await Promise.all(Array.from({ length: 100 }, (_, n) => driver.write(n * 8, pattern(4096, n))));
    for (let n = 0; n < 100; n++) expect(Buffer.compare(await driver.read(n * 8, 4096), pattern(4096, n))).toBe(0);
  });

  it('has a disk that answers later', async () => {
    const driver = await start('slow', pollUs);
    await Promise.all(Array.from({ length: 100 }, (_, n) => driver.write(n * 8, pattern(4096, n))));
    await driver.suspend();
    await driver.resume();
    const read = await Promise.all(Array.from({ length: 100 }, (_, n) => driver.read(n * 8, 4096)));
    for (const [n, bytes] of read.entries()) expect(Buffer.compare(bytes, pattern(4096, n))).toBe(0);
  });
});

describe('a server in a worker', () => {
  it('says how it is doing, is paused, and does what its module can', async () => {
    const driver = await start('good', 50);
    await server!.pause();
    let done = false;
    const written = driver.write(0, pattern(512)).then(() => {
      done = true;
    });
    expect(await server!.status()).toMatchObject({ connected: true, paused: true, status: 0x0f });
    expect(done).toBe(false);
    await server!.continue();
    await written;
    const resized = new Promise<void>((resolve) => {
      driver.onInfoChange = () => resolve();
    });
    await server!.command('resize', 8192);
    await resized;
    expect(driver.info.capacitySectors).toBe(8192);
    expect(await server!.command('capacity')).toBe(8192);
    await expect(server!.command('explode')).rejects.toThrow('there is no command "explode"');
  });

  it('says so when its thread has ended by itself, and not when it is closed', async () => {
    const lost: string[] = [];
    const onLost = ({ message }: Error): void => void lost.push(message);
    const options = { behaviour: 'good', queues: 1 };
    await (await serveVhostUserInWorker({ path, module, options, onLost })).close();
    expect(lost).toEqual([]);
    const dying = await serveVhostUserInWorker({ path, module, options, onLost });
    await dying.command('die').catch(() => {});
    await expect.poll(() => lost).toEqual([expect.stringContaining(`the worker at ${path} failed: `)]);
    await expect(dying.status()).rejects.toThrow('failed: ');
    await dying.close();
  });

  it('suspends with requests out, a hundred times', async () => {
    const driver = await start('good', 50);
    for (let round = 0; round < 100; round++) {
      const written = Array.from({ length: 32 }, (_, n) => driver.write(n * 8, pattern(4096, round + n)));
      await driver.suspend();
      await driver.resume();
      await Promise.all(written);
    }
    for (let n = 0; n < 32; n++) expect(Buffer.compare(await driver.read(n * 8, 4096), pattern(4096, 99 + n))).toBe(0);
  });

  it('says why it does not start', async () => {
    const broken = serveVhostUserInWorker({ path, module, options: { behaviour: 'broken' } });
    await expect(broken).rejects.toThrow(/no disk today/);
    const missing = serveVhostUserInWorker({ path, module: new URL('./no-such-module.mjs', import.meta.url) });
    await expect(missing).rejects.toThrow(/Cannot find module/);
  });

  it.each([
    ['exits', 'exit', 7],
    ['fails while the worker is asleep', 'throw', 1],
  ])('does not keep a process that %s', (_, how, code) => {
    const program = join(import.meta.dirname, 'worker-exit.mjs');
    const { status, stderr } = spawnSync(process.execPath, [program, path, how], { timeout: 15_000, encoding: 'utf8' });
    expect({ status, isSaid: stderr.includes('nobody catches this') }).toEqual({
      status: code,
      isSaid: how === 'throw',
    });
  });
});
