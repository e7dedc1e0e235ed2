/** `virtio demo`: what it does, what it reports, and that it leaves nothing behind. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GuestReport, LinuxReport } from '../../src/cli/demo/guest-report.ts';
import type { LoopbackReport } from '../../src/cli/demo/loopback-report.ts';
import { hasCompiler, start, virtio, withoutPrograms, workFolder } from './virtio.ts';

const folder = workFolder();
/** Status values that the driver writes and the device shows. */
const CYCLE = ['0x0f', '0x1f', '0x1b', '0x1f', '0x0f'];

interface DemoReport {
  readonly ok: boolean;
  readonly guest: GuestReport | null;
  readonly linux: LinuxReport | null;
  readonly leftOut: { readonly guest?: string; readonly linux?: string };
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

/** What was saved at work went on in another process, with every byte. */
function expectMoved({ write, restore, ...report }: GuestReport | LinuxReport): void {
  expect(report).toMatchObject({ saved: true, restored: true, checksums: true, imageUntouched: true });
  expect(write.pid).not.toBe(restore.pid);
  expect(write.filesBefore).toBeGreaterThan(0);
  expect(restore.filesAfter).toBeGreaterThan(write.filesBefore);
  expect(restore).toMatchObject({ badInLoad: 0, bad: 0, resets: 0, diskInGuest: restore.diskOutside });
  expect(restore.diskInGuest).toMatch(/^[0-9a-f]{32}$/);
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
    expect(report).toMatchObject({ ok: true, guest: null, linux: null });
    expect(report.leftOut).toEqual({ guest: '--no-guest', linux: '--no-guest' });
    const { worker, ...thread } = report.loopback;
    expectClean(thread, 30);
    expectClean(worker, 30);
    expect(thread.statuses).toEqual(CYCLE);
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
    expect(stdout).toMatch(/\nall verified; the guests were left out\n$/);
  });
});

describe('virtio demo', () => {
  it.skipIf(!hasCompiler)('saves two guests at work: one that is paused, one that has suspended its disk', async () => {
    const file = folder.path('guests.json');
    const { code, stdout } = await virtio(['demo', '--cycles', '20', '--json', file]);
    const { ok, guest, linux, leftOut, loopback } = JSON.parse(readFileSync(file, 'utf8')) as DemoReport;
    expect({ code, ok, leftOut }).toEqual({ code: 0, ok: true, leftOut: {} });
    expect(guest).toMatchObject({ paused: true });
    expectMoved(guest!);
    expect(guest!.write.inFlight).toBeGreaterThan(0);

    expectMoved(linux!);
    expect(linux).toMatchObject({ negotiated: true, cycles: 22, lost: 0, resets: 0, statuses: CYCLE });
    expect(linux!.counted).toEqual({ cycles: 22, failures: 0, resets: 0 });
    expect(linux!.write.deviceStatus).toBe('ACKNOWLEDGE|DRIVER|FEATURES_OK|SUSPEND (0x1b)');
    expect(linux!.mostInFlight).toBeGreaterThan(0);
    expect(linux!.drainUs.p50).toBeGreaterThan(0);
    expect(linux!.sleep.statuses).toEqual(CYCLE);
    expect(linux!.sleep.wakeMs).toBeGreaterThan(0);
    expectClean(loopback, 20);
    expectClean(loopback.worker, 20);

    expect(stdout).toMatch(/^│ paused +│ in [\d.]+ ms, with \d+ requests in flight/m);
    expect(stdout).toMatch(/^│ negotiated +│ VIRTIO_F_SUSPEND \(bit 43\) +│$/m);
    expect(stdout).toMatch(/^│ status +│ 0x0f 0x1f 0x1b 0x1f 0x0f around the save +│$/m);
    expect(stdout).toMatch(/\nall verified: nothing lost, nothing done twice, every byte right\n$/);
  });

  it('does without the one that suspends where its drivers cannot be built, and says so', async () => {
    const found = await virtio(['guest', '--no-boot', '--json']);
    const stock = dirname((JSON.parse(found.stdout) as { kernel: string }).kernel);
    const cache = dirname(stock);
    const states = readdirSync(cache).filter((name) => name.startsWith('ready-'));
    const environment = withoutPrograms(folder.path('no-compiler'), cache, ['debian-i386', basename(stock), ...states]);
    const file = folder.path('no-compiler.json');
    const { code, stdout, stderr } = await virtio(['demo', '--cycles', '1', '--json', file], { environment });
    const { ok, guest, linux, leftOut } = JSON.parse(readFileSync(file, 'utf8')) as DemoReport;
    expect({ code, ok, linux }).toEqual({ code: 0, ok: true, linux: null });
    expectMoved(guest!);
    expect(Object.keys(leftOut)).toEqual(['linux']);
    expect(leftOut.linux).toContain('no gcc and no make');
    expect(stderr).toMatch(/^› left out: kernel modules .* no gcc and no make/m);
    expect(stdout).toMatch(
      /\nall verified: .*\nleft out: Linux that suspends its disk itself, for .* no gcc and no make/,
    );
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
