/** What a thread that serves a device takes of the processor while there is nothing to do, or while others need it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockDriver } from 'virtio-ts/devices/block';
import { serveVhostUserInWorker, VhostUserTransport } from 'virtio-ts/hosts/vhost-user';
import { GuestAllocator } from 'virtio-ts/memory';
import { DeviceId } from 'virtio-ts/spec';
import { expect, it } from 'vitest';
import type { BackEnd } from '../../../../src/hosts/vhost-user/back-end.ts';
import { LoopClock } from '../../../../src/hosts/vhost-user/loop-clock.ts';
import { runPollingLoop } from '../../../../src/hosts/vhost-user/polling-loop.ts';

const module = new URL('./worker-disk.mjs', import.meta.url);
const TASKS = '/proc/self/task';

/** What some threads have taken so far: processor time, and how often they were woken up. */
function usage(threads: readonly string[]): { readonly ms: number; readonly wakeUps: number } {
  const fields = threads.map((thread) => {
    const [ns] = readFileSync(`${TASKS}/${thread}/schedstat`, 'latin1').split(' ');
    const status = readFileSync(`${TASKS}/${thread}/status`, 'latin1');
    return { ms: Number(ns) / 1e6, wakeUps: Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)![1]) };
  });
  return fields.reduce((sum, { ms, wakeUps }) => ({ ms: sum.ms + ms, wakeUps: sum.wakeUps + wakeUps }));
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it.each([50, 0])('an idle server that looks for %d microseconds takes no processor', async (pollUs) => {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-idle-'));
  const path = join(folder, 'socket');
  const before = new Set(readdirSync(TASKS));
  const server = await serveVhostUserInWorker({ path, module, options: { behaviour: 'good', queues: 1 }, pollUs });
  try {
    // The worker, and whatever else came with it.
    const threads = readdirSync(TASKS).filter((thread) => !before.has(thread));
    expect(threads.length).toBeGreaterThan(0);
    const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    const { memory } = transport;
    const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, memory.regions[0]!.size - 0x1000));
    await driver.initialize();
    const idle = usage(threads);
    for (let n = 0; n < 100; n++) await driver.read(n, 512);
    const busy = usage(threads);
    expect(busy.ms).toBeGreaterThan(idle.ms);
    expect(busy.wakeUps).toBeGreaterThan(idle.wakeUps);
    // What was begun for the requests, as the collection of garbage, ends.
    await sleep(300);
    const from = usage(threads);
    await sleep(1000);
    const to = usage(threads);
    // One that looked all the time would take a thousand, or with nobody waking it as many wake-ups.
    expect(to.ms - from.ms).toBeLessThan(50);
    expect(to.wakeUps - from.wakeUps).toBeLessThan(20);
    transport.close();
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

it('a thread whose processor others need does not look for a tenth of a second', async () => {
  let turns = 0;
  let lastLook: number | undefined;
  let longestRestMs = 0;
  const begun = performance.now();
  const service = {
    // Takes far longer than it can by itself.
    poll: () => {
      const now = performance.now();
      longestRestMs = Math.max(longestRestMs, now - (lastLook ?? now));
      while (performance.now() - now < 0.05);
      lastLook = performance.now();
      return 0;
    },
    scan: () => {},
  };
  // Something comes at once whenever it sleeps.
  const backEnd = { mayBlock: true, device: { service }, turn: () => turns++ } as unknown as BackEnd;
  const ended = (): boolean => performance.now() - begun > 5000 || longestRestMs >= 99;
  await runPollingLoop({ backEnd, clock: new LoopClock(), pollUs: 50_000, busy: () => false, ended });
  expect(longestRestMs).toBeGreaterThanOrEqual(99);
  expect(turns).toBeGreaterThan(10);
});
