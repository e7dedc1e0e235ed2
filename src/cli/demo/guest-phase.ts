/**
 * One half of the demonstration with a guest, in a process of its own: `write` boots a guest, saves it in the middle of
 * its writing and ends; `restore` goes on from the file. Started by guest-demo.ts, which it tells how far it is.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { Disk } from '../../devices/block/disk.ts';
import { Computer } from '../../machine/computer.ts';
import { describeStatus } from '../../spec/status.ts';
import { diskContents } from '../../storage/disk-contents.ts';
import { FaultyDisk, seededLatency } from '../../storage/faulty-disk.ts';
import { findGuestFiles } from '../guest-options.ts';
import type { PhaseInput, PhaseMessage, RestoreReport, WriteReport } from './guest-report.ts';

const WORKERS = 3;
const FILES_PER_WORKER = 24;
/** Files that have to be through before the pause, and as many again after it. */
const FILES_EACH_TIME = 24;
const LOAD_LIMIT_MS = 240_000;
/** The disk takes its time, as real ones do: the pause is to find requests in flight. */
const SLOW = { seed: 20_261_123, leastMs: 0, mostMs: 3 };

// Whoever started this is gone: nobody wants the rest.
process.once('disconnect', () => process.exit(1));
process.once('message', (input: PhaseInput) => void main(input));

async function main(input: PhaseInput): Promise<void> {
  try {
    const report = input.phase === 'write' ? await write(input) : await restore(input);
    await tell({ kind: 'report', report });
    process.exit(0);
  } catch (error) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

async function write({ image, saved, guest }: PhaseInput): Promise<WriteReport> {
  const files = await findGuestFiles(guest, ({ name, detail }) =>
    progress(detail === undefined ? name : `${name}: ${detail}`),
  );
  const computer = await Computer.start({
    files,
    disks: [{ path: image, writesTo: 'overlay' }],
    wrapDisk: slow,
    ...(guest.cache === undefined ? {} : { cacheFolder: guest.cache }),
    onProgress: ({ name, detail }) => progress(detail === undefined ? name : `${name}: ${detail}`),
  });
  await computer.machine.command(`load /dev/vda ${WORKERS} ${FILES_PER_WORKER} >/tmp/load.log 2>&1 &`);
  const filesBefore = await filesThrough(computer, FILES_EACH_TIME);
  progress('waiting for requests in flight');
  const { device } = computer.disks[0]!;
  const end = Date.now() + LOAD_LIMIT_MS;
  while (device.inFlight === 0) {
    if (Date.now() > end) throw new Error(`the guest made no request within ${LOAD_LIMIT_MS / 1000} s`);
    await setImmediate();
  }
  const inFlight = device.inFlight;
  const pausing = performance.now();
  await computer.pause();
  const pauseMs = performance.now() - pausing;
  progress('saving');
  const saving = performance.now();
  await computer.save(saved);
  const saveMs = performance.now() - saving;
  return {
    pid: process.pid,
    version: files.version,
    filesBefore,
    inFlight,
    pauseMs: round(pauseMs),
    saveMs: round(saveMs),
    savedBytes: (await stat(saved)).size,
    deviceStatus: describeStatus(device.status),
  };
}

async function restore({ saved, guest }: PhaseInput): Promise<RestoreReport> {
  const files = await findGuestFiles(guest, ({ name }) => progress(name));
  const restoring = performance.now();
  const computer = await Computer.open(saved, { files, wrapDisk: slow, onProgress: ({ name }) => progress(name) });
  computer.continue();
  const restoreMs = performance.now() - restoring;
  const { filesBefore } = await counts(computer);
  const filesAfter = await filesThrough(computer, filesBefore + FILES_EACH_TIME);
  await run(computer, 'touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done');
  const { badInLoad } = await counts(computer);
  progress('checking every file again');
  const verified = /verify: (?:ok|failed), (\d+) files, (\d+) bad/.exec(
    (await computer.machine.command('verify', { timeoutMs: LOAD_LIMIT_MS })).output,
  );
  progress('comparing the whole disk from both sides');
  const sum = await run(computer, 'umount /mnt && sync && echo 3 >/proc/sys/vm/drop_caches && md5sum /dev/vda');
  const diskInGuest = /^[0-9a-f]{32}/.exec(sum)?.[0] ?? sum.trim();
  const diskOutside = await md5(computer.disks[0]!.disk);
  await computer.close();
  return {
    pid: process.pid,
    restoreMs: round(restoreMs),
    filesAfter,
    badInLoad,
    verified: Number(verified?.[1] ?? 0),
    bad: Number(verified?.[2] ?? 1),
    diskInGuest,
    diskOutside,
  };
}

/** Waits until the load has got through `wanted` files in all; how many it were then. */
async function filesThrough(computer: Computer, wanted: number): Promise<number> {
  const end = Date.now() + LOAD_LIMIT_MS;
  for (;;) {
    const { filesBefore: files } = await counts(computer);
    progress(`the guest has written and read back ${files} files`);
    if (files >= wanted) return files;
    if (Date.now() > end)
      throw new Error(
        `the guest wrote ${files} of ${wanted} files within ${LOAD_LIMIT_MS / 1000} s: ${await run(computer, 'cat /tmp/load.log')}`,
      );
    await run(computer, 'sleep 0.3');
  }
}

/** What the load has logged: the last count of each worker, added up. */
async function counts(computer: Computer): Promise<{ filesBefore: number; badInLoad: number }> {
  const log = await run(computer, 'cat /tmp/load.log');
  const latest = new Map<string, { files: number; bad: number }>();
  for (const [, worker, files, bad] of log.matchAll(
    /worker (\d+)(?: stopped)?: (\d+) files written and read back, (\d+) bad/g,
  )) {
    latest.set(worker!, { files: Number(files), bad: Number(bad) });
  }
  const workers = [...latest.values()];
  return {
    filesBefore: workers.reduce((sum, { files }) => sum + files, 0),
    badInLoad: workers.reduce((sum, { bad }) => sum + bad, 0),
  };
}

/** Runs a command that has to succeed. */
async function run(computer: Computer, command: string): Promise<string> {
  const { output, exitCode } = await computer.machine.command(command, { timeoutMs: LOAD_LIMIT_MS });
  if (exitCode !== 0) throw new Error(`"${command}" in the guest ended with ${exitCode}: ${output}`);
  return output;
}

async function md5(disk: Disk): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of diskContents(disk)) hash.update(chunk);
  return hash.digest('hex');
}

function slow(disk: Disk): Disk {
  return new FaultyDisk(disk, {
    latency: seededLatency(SLOW.seed, SLOW.leastMs, SLOW.mostMs),
    schedule: (callback, delayMs) => void setTimeout(callback, delayMs),
  });
}

function progress(text: string): void {
  void tell({ kind: 'progress', text });
}

function tell(message: PhaseMessage<WriteReport | RestoreReport>): Promise<void> {
  return new Promise((resolve) => {
    process.send!(message, () => resolve());
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
