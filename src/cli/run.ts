import type { Command } from 'commander';
import { Computer, type ComputerDisk } from '../machine/computer.ts';
import { TransportError } from '../spec/fault.ts';
import { Status } from '../spec/status.ts';
import { fileName, wholeNumber } from './argument.ts';
import { attachConsole } from './console.ts';
import { collectDisk } from './disk-option.ts';
import { ExitCode } from './exit-code.ts';
import { watchGuestEnd } from './guest-end.ts';
import { addGuestOptions, addSuspendOption, findGuestFiles, type GuestOptions } from './guest-options.ts';
import { requireReplaceable, requireWritable } from './output-file.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';
import { saveComputer } from './save.ts';
import { status } from './status.ts';

interface RunOptions extends GuestOptions {
  readonly disk?: readonly ComputerDisk[];
  readonly from?: string;
  readonly memory?: number;
  readonly exec?: string;
  readonly save?: string;
  readonly json?: JsonTarget;
}

/** Below, v86 has no room for the initial ramdisk; it never has more. */
const MEMORY_MIB = [96, 2048] as const;
/** The longest that a timer takes, 25 days. */
const NO_LIMIT_MS = 2 ** 31 - 1;

const EXAMPLES = `
Examples:
  truncate -s 64M disk.img && virtio run --disk disk.img
  virtio run --disk disk.img:rw --exec 'mke2fs /dev/vda'
  virtio run --disk disk.img --exec 'dd if=/dev/urandom of=/dev/vda bs=4k count=9' --save machine.saved
  virtio run --from machine.saved
  virtio run --disk disk.img --suspend --exec 'cd /sys/bus/virtio/devices/virtio0; echo 1 >suspend; cat suspend_stats'

With --suspend, Linux suspends a device when 1 is written to the file "suspend" there and resumes it at 0. It suspends
all of them to sleep (echo freeze >/sys/power/state), until a key is pressed on its console.

On a terminal Ctrl-] opens a menu: pause, continue, save, status, quit. What is piped in is typed on the guest's
console; the machine ends when its shell has come to the end of that.
Exit code: that of --exec; else 0, 1 when something failed, 2 for a wrong command line.`;

export function runCommand(program: Command): void {
  const command = program
    .command('run')
    .description(
      'boot a Linux guest with disks of ours, or go on from a saved machine, with this terminal as its console',
    )
    .option(
      '--disk <file[:mode]>',
      'a raw image, in order vda, vdb…: writes stay in memory (overlay), go to the file (:rw), or are refused (:ro)',
      collectDisk,
    )
    .option('--from <file>', 'go on from a machine that was saved there', fileName)
    .option('--memory <MiB>', "the guest's memory (default: 128)", wholeNumber(...MEMORY_MIB))
    .option('--exec <command>', 'run a shell command in the guest instead of attaching the terminal')
    .option('--save <file>', 'after --exec, save the machine there', fileName)
    .option('--json [file]', 'after --exec, report what came of it as JSON (standard output without a file)', fileName)
    .addHelpText('after', EXAMPLES)
    .hook('preAction', () => {
      const { exec, save, json, from, suspend } = command.opts<RunOptions>();
      if (from !== undefined && suspend !== undefined) {
        command.error('error: --suspend is for a boot: a saved machine goes on with the drivers that it has.');
      }
      if (exec !== undefined) return;
      if (save !== undefined) command.error('error: --save needs --exec; on a terminal the menu (Ctrl-]) saves.');
      if (json !== undefined) command.error('error: --json needs --exec, whose report it is.');
    });
  addGuestOptions(addSuspendOption(command)).action(run);
}

async function run(options: RunOptions): Promise<void> {
  await requireOutputs(options, options.disk ?? []);
  const computer = await withProgress(
    options.from === undefined ? 'Starting the guest' : `Going on from ${options.from}`,
    (onProgress) => makeComputer(options, onProgress),
  );
  try {
    // Which images a saved machine has is known only now.
    await requireOutputs(options, computer.disks);
    if (options.suspend) requireDrivers(computer);
    computer.continue();
    if (options.exec === undefined) await attachConsole(computer);
    else process.exitCode = await execute(computer, options.exec, options);
  } finally {
    await computer.close();
  }
}

/** An initial ramdisk of the user's own may lack the drivers that the guest was told to load. */
function requireDrivers({ disks }: Computer): void {
  if (disks.every(({ device }) => (device.status & Status.DRIVER_OK) !== 0)) return;
  throw new TransportError(
    'the guest has no driver for its disks: --suspend needs an initial ramdisk that `virtio guest --suspend` made for its kernel',
  );
}

/** Fails before the guest has done anything if what is to come of it cannot be written. */
async function requireOutputs({ save, json }: RunOptions, images: readonly { readonly path: string }[]): Promise<void> {
  if (save !== undefined) await requireReplaceable(save, images);
  if (typeof json === 'string') await requireWritable(json, images);
}

async function makeComputer(
  options: RunOptions,
  onProgress: Parameters<Parameters<typeof withProgress>[1]>[0],
): Promise<Computer> {
  const files = await findGuestFiles(options, onProgress);
  const { cache, memory, from, disk } = options;
  const common = {
    files,
    onProgress,
    ...(cache === undefined ? {} : { cacheFolder: cache }),
    ...(memory === undefined ? {} : { memoryBytes: memory * 1024 * 1024 }),
  };
  const disks = disk === undefined ? {} : { disks: disk };
  if (from === undefined) return Computer.start({ ...common, disks: [], ...disks });
  try {
    return await Computer.open(from, { ...common, ...disks });
  } catch (error) {
    throw error instanceof Error ? goingOnFailed(from, disk, error) : error;
  }
}

/** The error with the file's name and, where it is about the disks, how they have to be given. */
function goingOnFailed(from: string, disks: readonly ComputerDisk[] | undefined, cause: Error): Error {
  const { message } = cause;
  const isAboutDisks = /disk|device/i.test(message.replaceAll(from, ''));
  const advice =
    disks === undefined
      ? '\nImages are looked for where they were when it was saved; --disk says where they are now'
      : '\nGive --disk as when it was saved: the same images in the same order, each in the same mode (:rw, :ro or neither)';
  const named = message.includes(from) ? message : `${from}: ${message}`;
  return new Error(`${named}${isAboutDisks ? advice : ''}`, { cause });
}

async function execute(computer: Computer, command: string, { save, json }: RunOptions): Promise<number> {
  const result = await untilGuestEnds(computer, computer.machine.command(command, { timeoutMs: NO_LIMIT_MS }));
  if (json !== true) process.stdout.write(result.output);
  if (save !== undefined) {
    // It does not go on after that: an image that is written in place has to stay as it was saved.
    await computer.pause();
    await saveComputer(computer, save);
  }
  await writeReport(json, { command, ...result, ...status(computer), saved: save ?? null });
  return result.exitCode === 0 ? ExitCode.OK : result.exitCode;
}

/** Rejects with TransportError when the guest ends before `work` does. */
async function untilGuestEnds<T>(computer: Computer, work: Promise<T>): Promise<T> {
  let stop = (): void => {};
  const ended = new Promise<never>((_, reject) => {
    stop = watchGuestEnd(computer, (words) =>
      reject(new TransportError(`the guest ended before the command did: ${words}`)),
    );
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    stop();
  }
}
