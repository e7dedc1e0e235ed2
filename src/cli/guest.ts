import type { Command } from 'commander';
import { Device } from '../device/device.ts';
import { BlockDevice } from '../devices/block/device.ts';
import { guestKernel } from '../machine/guest-files.ts';
import { startMachine } from '../machine/ready-state.ts';
import { suspendDiff, suspendSourceTree } from '../machine/suspend-modules.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { MemoryDisk } from '../storage/memory-disk.ts';
import { ioLayout, PciDevice } from '../transports/pci/device.ts';
import { fileName } from './argument.ts';
import { addGuestOptions, addSuspendOption, findGuestFiles, type GuestOptions } from './guest-options.ts';
import { requireWritable } from './output-file.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';

interface GuestCommandOptions extends GuestOptions {
  readonly boot: boolean;
  /** A source tree, or true for that of the guest's own kernel. */
  readonly diff?: string | true;
  readonly json?: JsonTarget;
}

const EXAMPLES = `
Examples:
  virtio guest --suspend
  virtio guest --suspend --diff >suspend.patch
  virtio guest --suspend --diff ~/linux | patch -p1 -d ~/linux

Exit code: 0; 1 when something failed or is not on this machine, as gcc and make for --suspend; 2 for a wrong command
line.`;

export function guestCommand(program: Command): void {
  const command = program
    .command('guest')
    .description('fetch and build the Linux guest, boot it once, and keep it so that later starts take about a second')
    .option('--no-boot', 'only fetch and build')
    .option(
      '--diff [tree]',
      "with --suspend: only print, as a unified diff, what is changed in a Linux source tree (default: the guest's)",
      fileName,
    )
    .option('--json [file]', 'report where everything is as JSON (standard output without a file)', fileName)
    .addHelpText('after', EXAMPLES)
    .hook('preAction', () => {
      const { diff, suspend, json } = command.opts<GuestCommandOptions>();
      if (diff === undefined) return;
      if (suspend === undefined) command.error('error: --diff needs --suspend, whose change it shows.');
      if (json !== undefined) command.error('error: --diff and --json do not go together: a diff is no report.');
    });
  addGuestOptions(addSuspendOption(command)).action((options: GuestCommandOptions) =>
    options.diff === undefined ? guest(options) : printDiff(options.diff, options),
  );
}

/** To standard output; as a whole, or not at all. */
async function printDiff(tree: string | true, { cache }: GuestOptions): Promise<void> {
  const folder = cache === undefined ? {} : { cacheFolder: cache };
  const diff = await withProgress('Comparing with the source of the kernel', async (onProgress) => {
    if (tree !== true) return suspendDiff(tree);
    const kernel = await guestKernel({ ...folder, onProgress });
    return suspendDiff(await suspendSourceTree({ architecture: 'i386', kernel, ...folder, onProgress }));
  });
  process.stdout.write(diff);
}

async function guest(options: GuestCommandOptions): Promise<void> {
  if (typeof options.json === 'string') await requireWritable(options.json);
  const started = performance.now();
  const files = await withProgress('Preparing the guest', async (onProgress) => {
    const found = await findGuestFiles(options, onProgress);
    if (options.boot) await bootOnce(found, options, onProgress);
    return found;
  });
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  await writeReport(options.json, { ...files, booted: options.boot, seconds });
  if (options.json === true) return;
  const lines = Object.entries(files).map(([name, value]) => `${name.padEnd(8)} ${value ?? '(none)'}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** With one disk, the usual case; a guest with another number of disks boots when it is first started. */
async function bootOnce(
  files: Awaited<ReturnType<typeof findGuestFiles>>,
  { cache }: GuestOptions,
  onProgress: Parameters<Parameters<typeof withProgress>[1]>[0],
): Promise<void> {
  const memory = new GuestMemory();
  const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 2048 })), memory);
  const pci = new PciDevice(device, { layout: ioLayout, name: 'disk 0' });
  const cacheFolder = cache === undefined ? {} : { cacheFolder: cache };
  const machine = await startMachine({ files, memory, functions: [{ pci }], onProgress, ...cacheFolder });
  await machine.destroy();
}
