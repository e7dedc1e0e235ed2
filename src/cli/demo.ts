import type { Command } from 'commander';
import { ModulesUnavailable } from '../machine/suspend-modules.ts';
import { fileName, wholeNumber } from './argument.ts';
import { guestDemo, isGuestClean, isLinuxClean, linuxDemo } from './demo/guest-demo.ts';
import type { GuestReport, LinuxReport } from './demo/guest-report.ts';
import { isClean, type LoopbackReport } from './demo/loopback-report.ts';
import { type LoopbackOptions, runInThread } from './demo/loopback-thread.ts';
import { runInWorker } from './demo/loopback-worker.ts';
import { guestTable, linuxTable, loopbackTable } from './demo/tables.ts';
import { ExitCode } from './exit-code.ts';
import { addGuestOptions, findGuestFiles, type GuestOptions } from './guest-options.ts';
import { requireWritable } from './output-file.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';

interface DemoOptions extends GuestOptions {
  readonly cycles: number;
  readonly depth: number;
  readonly guest: boolean;
  readonly json?: JsonTarget;
}

/** What was shown of guests; null is what was left out, and `leftOut` says why. */
interface GuestReports {
  readonly guest: GuestReport | null;
  readonly linux: LinuxReport | null;
  readonly leftOut: { readonly guest?: string; readonly linux?: string };
}

const MOVE_EVERY = 10;
/** What the load's memory has room for, with a margin. */
const MOST_DEPTH = 1024;

export function demoCommand(program: Command): void {
  const command = program
    .command('demo')
    .description(
      'show it: a real guest saved in the middle of its writing and restored in a new process; one that suspends its disk itself, is saved like that, and sleeps; and suspend cycles under load',
    )
    .option('--cycles <n>', 'suspend and resume cycles of the loopback load', wholeNumber(1), 1000)
    .option('--depth <n>', 'its requests in flight', wholeNumber(1, MOST_DEPTH), 32)
    .option('--no-guest', 'leave the guests out')
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .addHelpText(
      'after',
      `
The guest that suspends its disk itself needs gcc and make, which build its drivers; without, it is left out.

Exit code: 0 only if every request was completed exactly once and every byte is right; else 1. What was left out is
said, and changes nothing about that.`,
    );
  addGuestOptions(command).action(demo);
}

async function demo({ cycles, depth, guest: withGuest, json, ...guestOptions }: DemoOptions): Promise<void> {
  if (typeof json === 'string') await requireWritable(json);
  const guests = withGuest ? await runGuests(guestOptions) : NO_GUESTS;
  const thread = await loopback(`${cycles} suspend cycles over loopback, in one thread`, runInThread, cycles, depth);
  const worker = await loopback(
    `${cycles} suspend cycles over loopback, device in a worker`,
    runInWorker,
    cycles,
    depth,
  );
  const { guest, linux } = guests;
  const guestsClean = (guest === null || isGuestClean(guest)) && (linux === null || isLinuxClean(linux));
  const clean = guestsClean && isClean(thread) && isClean(worker);
  await writeReport(json, { ok: clean, ...guests, loopback: { ...thread, worker } });
  if (json !== true) {
    const tables = [
      ...(guest === null ? [] : [guestTable(guest)]),
      ...(linux === null ? [] : [linuxTable(linux)]),
      loopbackTable(thread, worker),
    ];
    process.stdout.write(`${tables.join('\n')}\n${verdict(clean, guests)}\n`);
  }
  process.exitCode = clean ? ExitCode.OK : ExitCode.FAILED;
}

const NO_GUESTS: GuestReports = { guest: null, linux: null, leftOut: { guest: '--no-guest', linux: '--no-guest' } };

/** Both have one initial ramdisk, if drivers can be built for it, so that it is booted once. */
async function runGuests(options: GuestOptions): Promise<GuestReports> {
  const reason = await withoutSuspend(options);
  const files = reason === undefined ? { ...options, suspend: true } : options;
  const guest = await withProgress('A Linux guest: pause, save, new process, restore', (onProgress) =>
    guestDemo(files, onProgress),
  );
  if (reason !== undefined) return { guest, linux: null, leftOut: { linux: reason } };
  const linux = await withProgress(
    'Linux suspends its disk: under load, around a save into a new process, to sleep',
    (onProgress) => linuxDemo(files, onProgress),
  );
  return { guest, linux, leftOut: {} };
}

/** Builds the drivers that suspend; why there are none, where they cannot be built. */
function withoutSuspend(options: GuestOptions): Promise<string | undefined> {
  return withProgress('Drivers that suspend, for the Linux guest', async (onProgress) => {
    if (options.kernel !== undefined) return 'a guest of your own (--kernel) has its own drivers';
    try {
      await findGuestFiles({ ...options, suspend: true }, onProgress);
      return undefined;
    } catch (error) {
      if (!(error instanceof ModulesUnavailable)) throw error;
      onProgress({ name: 'left out', detail: error.message });
      return error.message;
    }
  });
}

function loopback(
  title: string,
  run: (options: LoopbackOptions) => Promise<LoopbackReport>,
  cycles: number,
  depth: number,
): Promise<LoopbackReport> {
  return withProgress(title, (onProgress) =>
    run({
      cycles,
      depth,
      moveEvery: MOVE_EVERY,
      onCycle: (cycle) => {
        if (cycle % 50 === 0) onProgress({ name: 'cycles', fraction: cycle / cycles });
      },
    }),
  );
}

function verdict(clean: boolean, { guest, leftOut }: GuestReports): string {
  if (!clean) return 'FAILED: see the tables above';
  if (guest === null) return 'all verified; the guests were left out';
  return leftOut.linux === undefined
    ? 'all verified: nothing lost, nothing done twice, every byte right'
    : `all verified: nothing lost, nothing done twice, every byte right\nleft out: Linux that suspends its disk itself, for ${leftOut.linux}`;
}
