import type { Command } from 'commander';
import { guestDemo, isGuestClean } from './demo/guest-demo.ts';
import type { GuestReport } from './demo/guest-report.ts';
import { isClean, type LoopbackReport } from './demo/loopback-report.ts';
import { type LoopbackOptions, runInThread } from './demo/loopback-thread.ts';
import { runInWorker } from './demo/loopback-worker.ts';
import { ExitCode } from './exit-code.ts';
import { addGuestOptions, fileName, type GuestOptions, wholeNumber } from './guest-options.ts';
import { requireWritable } from './output-file.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';
import { makeTable } from './table.ts';

interface DemoOptions extends GuestOptions {
  readonly cycles: number;
  readonly depth: number;
  readonly guest: boolean;
  readonly json?: JsonTarget;
}

const MOVE_EVERY = 10;
/** What the load's memory has room for, with a margin. */
const MOST_DEPTH = 1024;

export function demoCommand(program: Command): void {
  const command = program
    .command('demo')
    .description(
      'show it: a real guest saved in the middle of its writing and restored in a new process, and suspend cycles under load',
    )
    .option('--cycles <n>', 'suspend and resume cycles of the loopback load', wholeNumber(1), 1000)
    .option('--depth <n>', 'its requests in flight', wholeNumber(1, MOST_DEPTH), 32)
    .option('--no-guest', 'leave the guest out')
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .addHelpText(
      'after',
      '\nExit code: 0 only if every request was completed exactly once and every byte is right; else 1.',
    );
  addGuestOptions(command).action(demo);
}

async function demo({ cycles, depth, guest: withGuest, json, ...guestOptions }: DemoOptions): Promise<void> {
  if (typeof json === 'string') await requireWritable(json);
  const guest = withGuest
    ? await withProgress('A Linux guest: pause, save, new process, restore', (onProgress) =>
        guestDemo(guestOptions, onProgress),
      )
    : null;
  const thread = await loopback(`${cycles} suspend cycles over loopback, in one thread`, runInThread, cycles, depth);
  const worker = await loopback(
    `${cycles} suspend cycles over loopback, device in a worker`,
    runInWorker,
    cycles,
    depth,
  );
  const clean = (guest === null || isGuestClean(guest)) && isClean(thread) && isClean(worker);
  await writeReport(json, { ok: clean, guest, loopback: { ...thread, worker } });
  if (json !== true) process.stdout.write(`${tables(guest, thread, worker)}\n${verdict(clean, guest)}\n`);
  process.exitCode = clean ? ExitCode.OK : ExitCode.FAILED;
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

function tables(guest: GuestReport | null, thread: LoopbackReport, worker: LoopbackReport): string {
  const loads = makeTable([
    'loopback',
    'requests',
    'cycles',
    'moved',
    'lost',
    'duplicated',
    'wrong',
    'in flight',
    'drain p50 us',
    'p99',
    'max',
  ]);
  for (const [name, run] of [
    ['one thread', thread],
    ['worker', worker],
  ] as const) {
    const { p50, p99, max } = run.drainUs;
    loads.push([
      name,
      run.requests,
      run.cycles,
      run.moved,
      run.lost,
      run.duplicated,
      run.wrong,
      run.mostInFlight,
      p50,
      p99,
      max,
    ]);
  }
  const text = [loads.toString(), `status values of one cycle: ${thread.statuses.join(' ')}`];
  return guest === null ? text.join('\n') : [guestTable(guest), ...text].join('\n');
}

function guestTable({ write, restore, imageUntouched }: GuestReport): string {
  const table = makeTable(['guest', write.version]);
  table.push(
    [
      'paused',
      `in ${write.pauseMs} ms, with ${write.inFlight} requests in flight, after ${write.filesBefore} files; device status ${write.deviceStatus}`,
    ],
    ['saved', `${write.savedBytes} bytes in ${write.saveMs} ms by process ${write.pid}, which ended`],
    [
      'restored',
      `in ${restore.restoreMs} ms by process ${restore.pid}; the guest went on to ${restore.filesAfter} files`,
    ],
    ['checksums', `${restore.verified} files checked again, ${restore.bad + restore.badInLoad} bad`],
    ['whole disk', `${restore.diskInGuest} in the guest, ${restore.diskOutside} outside`],
    ['base image', imageUntouched ? 'as it was' : 'CHANGED'],
  );
  return table.toString();
}

function verdict(clean: boolean, guest: GuestReport | null): string {
  if (!clean) return 'FAILED: see the tables above';
  return guest === null
    ? 'all verified; the guest was left out'
    : 'all verified: nothing lost, nothing done twice, every byte right';
}
