import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OnProgress } from '../../machine/progress.ts';
import { TransportError } from '../../spec/fault.ts';
import { onSignal } from '../signals.ts';
import type { GuestReport, PhaseInput, PhaseMessage, RestoreReport, WriteReport } from './guest-report.ts';

const DISK_BYTES = 32 * 1024 * 1024;

/**
 * A real guest that is saved in the middle of its writing, loses its process, and goes on in a new one. Rejects when a
 * phase fails; that something was lost is for the report to say.
 */
export async function guestDemo(guest: PhaseInput['guest'], onProgress: OnProgress): Promise<GuestReport> {
  const folder = await mkdtemp(join(tmpdir(), 'virtio-demo-'));
  const stopWatching = onSignal(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const image = join(folder, 'disk.img');
    const saved = join(folder, 'machine.saved');
    await writeFile(image, '');
    await truncate(image, DISK_BYTES);
    const before = await sha256(image);
    const write = await runPhase<WriteReport>({ phase: 'write', image, saved, guest }, 'first process', onProgress);
    const restore = await runPhase<RestoreReport>(
      { phase: 'restore', image, saved, guest },
      'second process',
      onProgress,
    );
    return {
      paused: write.pauseMs >= 0,
      saved: write.savedBytes > 0,
      restored: restore.filesAfter > write.filesBefore && restore.pid !== write.pid,
      checksums:
        restore.badInLoad === 0 &&
        restore.bad === 0 &&
        restore.verified > 0 &&
        restore.diskInGuest === restore.diskOutside,
      write,
      restore,
      imageUntouched: (await sha256(image)) === before,
    };
  } finally {
    stopWatching();
    await rm(folder, { recursive: true, force: true });
  }
}

export function isGuestClean(report: GuestReport): boolean {
  const { paused, saved, restored, checksums, imageUntouched } = report;
  return paused && saved && restored && checksums && imageUntouched;
}

/** Runs a phase in a process of its own, and waits until that process has ended. */
function runPhase<Report>(input: PhaseInput, name: string, onProgress: OnProgress): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./guest-phase.js', import.meta.url), { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    const stopWatching = onSignal(() => child.kill('SIGKILL'));
    let report: Report | undefined;
    let complaints = '';
    child.stderr?.on('data', (text: Buffer) => {
      complaints += text.toString();
    });
    child.on('message', (message: PhaseMessage<Report>) => {
      if (message.kind === 'report') report = message.report;
      else onProgress({ name, detail: message.text });
    });
    child.on('error', (cause) =>
      reject(new TransportError(`the ${name} could not be started: ${cause.message}`, { cause })),
    );
    child.on('close', (code, signal) => {
      stopWatching();
      if (code === 0 && report !== undefined) resolve(report);
      else reject(new TransportError(`the ${name} ended with ${signal ?? code}: ${complaints.trim()}`));
    });
    child.send(input);
  });
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
