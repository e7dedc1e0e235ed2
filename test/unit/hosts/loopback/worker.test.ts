/** The device in a worker, as built: a worker cannot load TypeScript. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { BlockDriver } from 'virtio-ts/devices/block';
import { startWorkerDevice, type WorkerDevice } from 'virtio-ts/hosts/loopback/node';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { afterEach, describe, expect, it } from 'vitest';

const module = new URL('./worker-device.mjs', import.meta.url);
let worker: WorkerDevice | undefined;
afterEach(async () => {
  await worker?.close();
  worker = undefined;
});

async function start(behaviour: 'good' | 'slow'): Promise<{ driver: BlockDriver; worker: WorkerDevice }> {
  const shared = new SharedArrayBuffer(1 << 20);
  worker = await startWorkerDevice({ module, memory: shared, options: { behaviour } });
  const memory = GuestMemory.over(new Uint8Array(shared));
  const driver = new BlockDriver(worker.transport, new GuestAllocator(memory, 0x1000, 0xff000));
  await driver.initialize();
  return { driver, worker };
}

/** A sector that says which one it is, and in which round it was written. */
function sector(index: number, round: number): Uint8Array {
  return new Uint8Array(512).fill(round).fill(index, 0, 256);
}

describe('a device in a worker', () => {
  it('does what its driver asks', async () => {
    const { driver } = await start('good');
    await Promise.all(Array.from({ length: 64 }, (_, n) => driver.write(n, sector(n, 1))));
    for (let n = 0; n < 64; n++) expect(await driver.read(n, 512)).toEqual(sector(n, 1));
  });

  it('loses nothing through suspends with requests out, renewals and resumes', async () => {
    const { driver, worker: device } = await start('slow');
    let waiting = 0;
    for (let round = 1; round <= 12; round++) {
      const writes = Promise.all(Array.from({ length: 32 }, (_, n) => driver.write(n, sector(n, round))));
      await Promise.resolve();
      waiting += driver.driver.queues[0]!.outstanding;
      await driver.suspend();
      await expect(driver.read(0, 512)).rejects.toThrow('the device is suspended');
      if (round % 2 === 0) expect(JSON.parse(await device.transport.call('renew'))).toHaveProperty('version');
      await driver.resume();
      await writes;
      const reads = await Promise.all(Array.from({ length: 32 }, (_, n) => driver.read(n, 512)));
      expect(reads).toEqual(Array.from({ length: 32 }, (_, n) => sector(n, round)));
    }
    expect(waiting).toBeGreaterThan(0);
  });

  it('is refused memory that no worker can share', async () => {
    const memory = new ArrayBuffer(65536) as unknown as SharedArrayBuffer;
    await expect(startWorkerDevice({ module, memory })).rejects.toThrow(TypeError);
  });
});

interface Told {
  readonly start?: string;
  readonly results: readonly string[];
  readonly failures: readonly string[];
  readonly state?: string;
  readonly later?: string;
  readonly again?: string;
}

/** What a program tells that loses its worker; it had to end by itself, and quietly. */
function lose(behaviour: string): Told {
  const program = join(import.meta.dirname, 'worker-end.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, behaviour], {
    encoding: 'utf8',
    timeout: 15_000,
  });
  // Newer versions of Node say of themselves that the worker's module never came to its end.
  const complaints = stderr.replace(/^Warning: Detected unsettled top-level await[\s\S]*$/, '');
  expect({ status, complaints }).toEqual({ status: 0, complaints: '' });
  return JSON.parse(stdout) as Told;
}

describe('a program whose worker', () => {
  it.each([
    ['not there', /^TransportError: the device's worker failed: Cannot find module '.*nowhere\.mjs'/],
    ['no default', /^TransportError: the device's worker failed: data:.* exports no function by default that makes/],
    ['throws at start', /^TransportError: the device's worker failed: there is no such disk$/],
    ['throws text', /^TransportError: the device's worker failed: no disk$/],
    ['never ready', /^TransportError: the device's worker ended with code 13$/],
  ])('does not start (%s) is told why, and ends', (behaviour, message) => {
    expect(lose(behaviour).start).toMatch(message);
  });

  it.each([
    ['stuck', "TransportError: the device's worker was closed"],
    ['throwing', "TransportError: the device's worker failed: the disk caught fire"],
    ['ending', "TransportError: the device's worker ended with code 3"],
  ])('ends with requests out (%s) has them all rejected, is told once, and ends', (behaviour, message) => {
    expect(lose(behaviour)).toEqual({
      results: Array(20).fill(message),
      failures: [message],
      state: 'failed',
      later: 'StateError',
      again: 'TransportError',
    });
  });
});
