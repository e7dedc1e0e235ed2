/** `virtio demo`: what it does, what it reports, and that it leaves nothing behind. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { GuestReport } from '../../src/cli/demo/guest-report.ts';
import type { LoopbackReport } from '../../src/cli/demo/loopback-report.ts';
import { start, virtio, workFolder } from './virtio.ts';

const folder = workFolder();

interface DemoReport {
  readonly ok: boolean;
  readonly guest: GuestReport | null;
  readonly loopback: LoopbackReport & { readonly worker: LoopbackReport };
}

function expectClean(report: LoopbackReport, cycles: number): void {
  const { requests, firstError, drainUs, mostInFlight } = report;
  expect(report).toMatchObject({ cycles, moved: Math.floor(cycles / 10), lost: 0, duplicated: 0, wrong: 0 });
  expect(firstError).toBeNull();
  expect(requests).toBeGreaterThan(cycles);
  expect(mostInFlight).toBeGreaterThan(0);
  expect(report.statuses[0]).toMatch(/^0x[01][bf]$/);
  expect(report.statuses).toContain('0x1b');
  expect(report.statuses.at(-1)).toBe('0x0f');
  expect(drainUs.p50).toBeGreaterThan(0);
  expect(drainUs.p99).toBeGreaterThanOrEqual(drainUs.p50);
  expect(drainUs.max).toBeGreaterThanOrEqual(drainUs.p99);
}

/** A process that has ended may still be listed, for whoever adopts it to collect. */
function isAlive(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('virtio demo --no-guest', () => {
  it('reports as JSON and nothing else on standard output', async () => {
    const { code, stdout, stderr } = await virtio(['demo', '--no-guest', '--cycles', '30', '--json']);
    const report = JSON.parse(stdout) as DemoReport;
    expect(code).toBe(0);
    expect(report).toMatchObject({ ok: true, guest: null });
    const { worker, ...thread } = report.loopback;
    expectClean(thread, 30);
    expectClean(worker, 30);
    expect(thread.statuses).toEqual(['0x0f', '0x1f', '0x1b', '0x0f']);
    expect(stderr).toMatch(/✔ 30 suspend cycles over loopback, in one thread\n/);
    expect(stderr).toMatch(/✔ 30 suspend cycles over loopback, device in a worker\n/);
  });

  it('reports to a file as JSON, and to people in tables', async () => {
    const file = folder.path('demo.json');
    const args = ['demo', '--no-guest', '--cycles', '30', '--depth', '4', '--json', file];
    const { code, stdout } = await virtio(args);
    const report = JSON.parse(readFileSync(file, 'utf8')) as DemoReport;
    expect(code).toBe(0);
    expectClean(report.loopback, 30);
    expect(report.loopback.mostInFlight).toBeLessThanOrEqual(4);
    const row = (name: string, { requests, cycles, moved }: LoopbackReport): RegExp =>
      new RegExp(`^│ ${name} +│ ${requests} +│ ${cycles} +│ ${moved} +│ 0 +│ 0 +│ 0 +│`, 'm');
    expect(stdout).toMatch(row('one thread', report.loopback));
    expect(stdout).toMatch(row('worker', report.loopback.worker));
    expect(stdout).toMatch(/\nall verified; the guest was left out\n$/);
  });
});

describe('virtio demo', () => {
  it('saves a real guest in the middle of its writing and goes on in a new process', async () => {
    const { code, stdout } = await virtio(['demo', '--cycles', '20', '--json']);
    const { ok, guest, loopback } = JSON.parse(stdout) as DemoReport;
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    expect(guest).toMatchObject({ paused: true, saved: true, restored: true, checksums: true, imageUntouched: true });
    const { write, restore } = guest!;
    expect(write.pid).not.toBe(restore.pid);
    expect(write.inFlight).toBeGreaterThan(0);
    expect(restore.filesAfter).toBeGreaterThan(write.filesBefore);
    expect(restore).toMatchObject({ badInLoad: 0, bad: 0, diskInGuest: restore.diskOutside });
    expect(restore.diskInGuest).toMatch(/^[0-9a-f]{32}$/);
    expectClean(loopback, 20);
    expectClean(loopback.worker, 20);
  });

  // Only Linux says which processes there are without a program for it.
  it.skipIf(process.platform !== 'linux').each(['SIGINT', 'SIGTERM'] as const)(
    'leaves neither process nor file behind when %s ends it',
    async (signal) => {
      const running = start(['demo', '--cycles', '20'], { environment: { TMPDIR: folder.path('.') } });
      const folders = (): string[] => readdirSync(folder.path('.')).filter((name) => name.startsWith('virtio-demo-'));
      await running.says(/first process: .*starting the guest/);
      expect(folders().length).toBe(1);
      const child = readFileSync(`/proc/${running.child.pid}/task/${running.child.pid}/children`, 'utf8').trim();
      expect(child).toMatch(/^\d+$/);
      running.child.kill(signal);
      await running.ended;
      expect(running.child.signalCode).toBe(signal);
      expect(folders()).toEqual([]);
      await expect.poll(() => isAlive(child), { timeout: 10_000 }).toBe(false);
    },
  );
});
