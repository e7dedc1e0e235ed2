/**
 * One half of the demonstration with a guest, in a process of its own: `write` boots a guest, saves it in the middle of
 * its writing and ends; `restore` goes on from the file. Started by guest-demo.ts, which it tells how far it is.
 */
import { stat } from 'node:fs/promises';
import type { Disk } from '../../devices/block/disk.ts';
import { Computer } from '../../machine/computer.ts';
import type { GuestFiles } from '../../machine/guest-files.ts';
import { describeStatus } from '../../spec/status.ts';
import { FaultyDisk, seededLatency } from '../../storage/faulty-disk.ts';
import { findGuestFiles } from '../guest-options.ts';
import { BusyGuest } from './busy-guest.ts';
import { elapsedMs } from './elapsed.ts';
import type { PhaseInput, PhaseMessage, RestoreReport, ScenarioName, WriteReport } from './guest-report.ts';
import { pausedByHost } from './paused-by-host.ts';
import type { Scenario } from './scenario.ts';
import { suspendedByLinux } from './suspended-by-linux.ts';

const scenarios: { readonly [Name in ScenarioName]: Scenario<Name> } = {
  pause: pausedByHost,
  suspend: suspendedByLinux,
};

/** Files that have to be through before the save, and as many again after it. */
const FILES_EACH_TIME = 8;
/** The disk takes its time, as real ones do: there are to be requests in flight. */
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

async function write(input: PhaseInput): Promise<WriteReport> {
  const { image, saved, guest: options } = input;
  const files = await filesOf(input);
  const slow: FaultyDisk[] = [];
  const computer = await Computer.start({
    files,
    disks: [{ path: image, writesTo: 'overlay' }],
    wrapDisk: slowed(slow),
    ...(options.cache === undefined ? {} : { cacheFolder: options.cache }),
    onProgress: ({ name, detail }) => progress(detail === undefined ? name : `${name}: ${detail}`),
  });
  const guest = new BusyGuest(computer, slow[0]!, progress);
  await guest.start();
  const filesBefore = await guest.filesThrough(FILES_EACH_TIME);
  const atRest = await scenarios[input.scenario].rest(guest);
  await computer.pause();
  progress('saving');
  const saving = performance.now();
  await computer.save(saved);
  return {
    ...atRest,
    pid: process.pid,
    version: files.version,
    filesBefore,
    deviceStatus: describeStatus(guest.device.status),
    saveMs: elapsedMs(saving),
    savedBytes: (await stat(saved)).size,
    resets: guest.watch.resets,
  };
}

async function restore(input: PhaseInput): Promise<RestoreReport> {
  const files = await filesOf(input);
  const restoring = performance.now();
  const slow: FaultyDisk[] = [];
  const computer = await Computer.open(input.saved, {
    files,
    wrapDisk: slowed(slow),
    onProgress: ({ name }) => progress(name),
  });
  const guest = new BusyGuest(computer, slow[0]!, progress);
  computer.continue();
  const restoreMs = elapsedMs(restoring);
  const { files: filesBefore } = await guest.counts();
  const atWork = await scenarios[input.scenario].goOn(guest);
  const filesAfter = await guest.filesThrough(filesBefore + FILES_EACH_TIME);
  const report = { ...atWork, pid: process.pid, restoreMs, filesAfter, ...(await guest.verify()) };
  // Seen from here on is only the end of the machine.
  const { resets } = guest.watch;
  await computer.close();
  return { ...report, resets };
}

/** The guest loads the drivers of the scenario, whatever others its initial ramdisk has. */
async function filesOf({ guest, scenario }: PhaseInput): Promise<GuestFiles> {
  const files = await findGuestFiles(guest, ({ name, detail }) =>
    progress(detail === undefined ? name : `${name}: ${detail}`),
  );
  return { ...files, load: [scenarios[scenario].drivers] };
}

/** Makes disks slow, and keeps them in `slow`. */
function slowed(slow: FaultyDisk[]): (disk: Disk) => Disk {
  return (disk) => {
    const latency = seededLatency(SLOW.seed, SLOW.leastMs, SLOW.mostMs);
    const faulty = new FaultyDisk(disk, { latency, schedule: (action, delayMs) => void setTimeout(action, delayMs) });
    slow.push(faulty);
    return faulty;
  };
}

function progress(text: string): void {
  void tell({ kind: 'progress', text });
}

function tell(message: PhaseMessage<WriteReport | RestoreReport>): Promise<void> {
  return new Promise((resolve) => {
    process.send!(message, () => resolve());
  });
}
