import type { Command } from 'commander';
import { Computer, type ComputerDisk } from '../machine/computer.ts';
import { attachConsole, status } from './console.ts';
import { collectDisk } from './disk-option.ts';
import { ExitCode } from './exit-code.ts';
import { addGuestOptions, findGuestFiles, type GuestOptions, wholeNumber } from './guest-options.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';

interface RunOptions extends GuestOptions {
  readonly disk?: readonly ComputerDisk[];
  readonly from?: string;
  readonly memory?: number;
  readonly exec?: string;
  readonly save?: string;
  readonly json?: JsonTarget;
}

const EXAMPLES = `
Examples:
  truncate -s 64M disk.img && virtio run --disk disk.img
  virtio run --disk disk.img:rw --exec 'mke2fs /dev/vda'
  virtio run --disk disk.img --exec 'dd if=/dev/urandom of=/dev/vda bs=4k count=9' --save machine.saved
  virtio run --from machine.saved

On a terminal Ctrl-] opens a menu: pause, continue, save, status, quit.
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
    .option('--from <file>', 'go on from a machine that was saved there')
    .option('--memory <MiB>', "the guest's memory; 128", wholeNumber(32))
    .option('--exec <command>', 'run a shell command in the guest instead of attaching the terminal')
    .option('--save <file>', 'after --exec, save the machine there')
    .option('--json [file]', 'after --exec, report what came of it as JSON (standard output without a file)')
    .addHelpText('after', EXAMPLES);
  addGuestOptions(command).action(run);
}

async function run(options: RunOptions): Promise<void> {
  const computer = await withProgress(
    options.from === undefined ? 'Starting the guest' : `Going on from ${options.from}`,
    (onProgress) => makeComputer(options, onProgress),
  );
  try {
    computer.continue();
    if (options.exec === undefined) await attachConsole(computer);
    else process.exitCode = await execute(computer, options.exec, options);
  } finally {
    await computer.close();
  }
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
  if (from === undefined) return Computer.start({ ...common, disks: disk ?? [] });
  return Computer.open(from, { ...common, ...(disk === undefined ? {} : { disks: disk }) });
}

async function execute(computer: Computer, command: string, { save, json }: RunOptions): Promise<number> {
  const result = await computer.machine.command(command, { timeoutMs: 2 ** 31 - 1 });
  if (json !== true) process.stdout.write(result.output);
  if (save !== undefined) await computer.save(save);
  await writeReport(json, { command, ...result, ...status(computer), saved: save ?? null });
  return result.exitCode === 0 ? ExitCode.OK : result.exitCode;
}
