import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OnProgress } from '../../machine/progress.ts';
import { onSignal } from '../signals.ts';
import { runPhase } from './guest-process.ts';
import type {
  GuestReport,
  LinuxReport,
  MovedReport,
  PhaseInput,
  RestoreReport,
  ScenarioName,
  ScenarioReports,
  WriteReport,
} from './guest-report.ts';
import { percentiles } from './loopback-report.ts';
import { isCycle } from './status-watch.ts';

const DISK_BYTES = 16 * 1024 * 1024;

/** Both halves of a scenario. */
interface Halves<Name extends ScenarioName> {
  readonly write: WriteReport & ScenarioReports[Name]['write'];
  readonly restore: RestoreReport & ScenarioReports[Name]['restore'];
  readonly moved: MovedReport;
}

/**
 * A real guest, with drivers that know nothing of VIRTIO_F_SUSPEND, is paused in the middle of its writing, saved, loses
 * its process, and goes on in a new one. Rejects when a phase fails; that something was lost is for the report to say.
 */
export async function guestDemo(guest: PhaseInput['guest'], onProgress: OnProgress): Promise<GuestReport> {
  const { write, restore, moved } = await runBoth('pause', guest, onProgress);
  return { paused: write.pauseMs >= 0, ...moved, write, restore };
}

/** The same with drivers that suspend and resume their device, under load, around the save, and to sleep. */
export async function linuxDemo(guest: PhaseInput['guest'], onProgress: OnProgress): Promise<LinuxReport> {
  const { write, restore, moved } = await runBoth('suspend', guest, onProgress);
  return linuxReport(write, restore, moved);
}

/** Puts together what the two processes have seen of Linux. */
export function linuxReport(
  before: Halves<'suspend'>['write'],
  after: Halves<'suspend'>['restore'],
  moved: MovedReport,
): LinuxReport {
  const { negotiated, cycles, statuses, drainsUs, mostInFlight, ...write } = before;
  const { sleep, counted, ...resumed } = after;
  // The second process begins with the value that the first has left.
  const around = [...statuses, ...resumed.statuses.slice(1)];
  const isWhole = isCycle(around) && statuses.at(-1) === resumed.statuses[0];
  const { pid, restoreMs, filesAfter, badInLoad, verified, bad, diskInGuest, diskOutside, resets } = after;
  return {
    negotiated: negotiated && resumed.negotiated,
    cycles: cycles + resumed.cycles + (isWhole ? 1 : 0),
    lost: badInLoad + bad,
    resets: write.resets + resets,
    statuses: around,
    drainUs: percentiles([...drainsUs, ...resumed.drainsUs]),
    mostInFlight: Math.max(mostInFlight, resumed.mostInFlight),
    sleep,
    counted,
    ...moved,
    write,
    restore: { pid, restoreMs, filesAfter, badInLoad, verified, bad, diskInGuest, diskOutside, resets },
  };
}

export function isGuestClean(report: GuestReport): boolean {
  return report.paused && report.write.resets === 0 && report.restore.resets === 0 && isMoved(report);
}

/** Whether Linux and the device have seen the same, all of it as it has to be. */
export function isLinuxClean(report: LinuxReport): boolean {
  const { negotiated, cycles, lost, resets, statuses, sleep, counted } = report;
  const asSeen = counted.cycles === cycles && counted.failures === 0 && counted.resets === 0;
  return (
    negotiated &&
    cycles > 0 &&
    lost === 0 &&
    resets === 0 &&
    isCycle(statuses) &&
    isCycle(sleep.statuses) &&
    asSeen &&
    isMoved(report)
  );
}

function isMoved({ saved, restored, checksums, imageUntouched }: MovedReport): boolean {
  return saved && restored && checksums && imageUntouched;
}

async function runBoth<Name extends ScenarioName>(
  scenario: Name,
  guest: PhaseInput['guest'],
  onProgress: OnProgress,
): Promise<Halves<Name>> {
  const folder = await mkdtemp(join(tmpdir(), 'virtio-demo-'));
  const stopWatching = onSignal(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const image = join(folder, 'disk.img');
    const input = { scenario, image, saved: join(folder, 'machine.saved'), guest };
    await writeFile(image, '');
    await truncate(image, DISK_BYTES);
    const before = await sha256(image);
    const write = await runPhase<Halves<Name>['write']>({ ...input, phase: 'write' }, 'first process', onProgress);
    const restore = await runPhase<Halves<Name>['restore']>(
      { ...input, phase: 'restore' },
      'second process',
      onProgress,
    );
    const moved = {
      saved: write.savedBytes > 0,
      restored: restore.filesAfter > write.filesBefore && restore.pid !== write.pid,
      checksums:
        restore.badInLoad === 0 &&
        restore.bad === 0 &&
        restore.verified > 0 &&
        restore.diskInGuest === restore.diskOutside,
      imageUntouched: (await sha256(image)) === before,
    };
    return { write, restore, moved };
  } finally {
    stopWatching();
    await rm(folder, { recursive: true, force: true });
  }
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
