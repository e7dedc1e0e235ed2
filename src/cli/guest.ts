import type { Command } from 'commander';
import { Device } from '../device/device.ts';
import { BlockDevice } from '../devices/block/device.ts';
import { startMachine } from '../machine/ready-state.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { MemoryDisk } from '../storage/memory-disk.ts';
import { ioLayout, PciDevice } from '../transports/pci/device.ts';
import { addGuestOptions, fileName, findGuestFiles, type GuestOptions } from './guest-options.ts';
import { requireWritable } from './output-file.ts';
import { withProgress } from './progress.ts';
import { type JsonTarget, writeReport } from './report.ts';

export function guestCommand(program: Command): void {
  const command = program
    .command('guest')
    .description('fetch and build the Linux guest, boot it once, and keep it so that later starts take about a second')
    .option('--no-boot', 'only fetch and build')
    .option('--json [file]', 'report where everything is as JSON (standard output without a file)', fileName);
  addGuestOptions(command).action(guest);
}

async function guest(options: GuestOptions & { readonly boot: boolean; readonly json?: JsonTarget }): Promise<void> {
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
