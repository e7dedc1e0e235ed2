import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Device } from '../../device/device.ts';
import type { Disk } from '../../devices/block/disk.ts';
import type { Computer } from '../../machine/computer.ts';
import { diskContents } from '../../storage/disk-contents.ts';
import type { FaultyDisk } from '../../storage/faulty-disk.ts';
import type { RestoreReport } from './guest-report.ts';
import { StatusWatch } from './status-watch.ts';

const WORKERS = 3;
const FILES_PER_WORKER = 24;
/** What a guest may take for one thing, on a machine that has a lot else to do. */
export const LIMIT_MS = 240_000;

/** A guest that writes files to its disk and checks them, and what is seen of that from outside. */
export class BusyGuest {
  readonly computer: Computer;
  readonly device: Device;
  /** Of the device, from when its driver had started it, or since it was restored. */
  readonly watch: StatusWatch = new StatusWatch();
  /** What is behind the device; slow, and held at will. */
  readonly disk: FaultyDisk;
  readonly progress: (text: string) => void;

  constructor(computer: Computer, disk: FaultyDisk, progress: (text: string) => void) {
    this.computer = computer;
    this.disk = disk;
    this.device = computer.disks[0]!.device;
    this.watch.attach(this.device);
    this.progress = progress;
  }

  /** Begins the work. */
  async start(): Promise<void> {
    await this.run(`load /dev/vda ${WORKERS} ${FILES_PER_WORKER} >/tmp/load.log 2>&1 &`);
  }

  /** How many files were written, read back and compared so far, and how many of them were wrong. */
  async counts(): Promise<{ files: number; bad: number }> {
    const log = await this.run('cat /tmp/load.log');
    const latest = new Map<string, { files: number; bad: number }>();
    for (const [, worker, files, bad] of log.matchAll(
      /worker (\d+)(?: stopped)?: (\d+) files written and read back, (\d+) bad/g,
    )) {
      latest.set(worker!, { files: Number(files), bad: Number(bad) });
    }
    const workers = [...latest.values()];
    return {
      files: workers.reduce((sum, { files }) => sum + files, 0),
      bad: workers.reduce((sum, { bad }) => sum + bad, 0),
    };
  }

  /** Waits until the work has got through `wanted` files in all; how many it were then. */
  async filesThrough(wanted: number): Promise<number> {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
      const { files } = await this.counts();
      this.progress(`the guest has written and read back ${files} files`);
      if (files >= wanted) return files;
      if (Date.now() > end)
        throw new Error(
          `the guest wrote ${files} of ${wanted} files within ${LIMIT_MS / 1000} s: ${await this.run('cat /tmp/load.log')}`,
        );
      await this.run('sleep 0.3');
    }
  }

  /** Waits until a request is in flight. */
  async requestInFlight(): Promise<void> {
    const end = Date.now() + LIMIT_MS;
    while (this.device.inFlight === 0) {
      if (Date.now() > end) throw new Error(`the guest made no request within ${LIMIT_MS / 1000} s`);
      await setImmediate();
    }
  }

  /** Ends the work, and looks at all that is on the disk once more. */
  async verify(): Promise<Pick<RestoreReport, 'badInLoad' | 'verified' | 'bad' | 'diskInGuest' | 'diskOutside'>> {
    await this.run('touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done');
    const { bad: badInLoad } = await this.counts();
    this.progress('checking every file again');
    const { output } = await this.computer.machine.command('verify', { timeoutMs: LIMIT_MS });
    const found = /verify: (?:ok|failed), (\d+) files, (\d+) bad/.exec(output);
    this.progress('comparing the whole disk from both sides');
    const sum = await this.run('umount /mnt && sync && echo 3 >/proc/sys/vm/drop_caches && md5sum /dev/vda');
    return {
      badInLoad,
      verified: Number(found?.[1] ?? 0),
      bad: Number(found?.[2] ?? 1),
      diskInGuest: /^[0-9a-f]{32}/.exec(sum)?.[0] ?? sum.trim(),
      diskOutside: await md5(this.disk),
    };
  }

  /** Runs a command that has to succeed. */
  async run(command: string): Promise<string> {
    const { output, exitCode } = await this.computer.machine.command(command, { timeoutMs: LIMIT_MS });
    if (exitCode !== 0) throw new Error(`"${command}" in the guest ended with ${exitCode}: ${output}`);
    return output;
  }
}

async function md5(disk: Disk): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of diskContents(disk)) hash.update(chunk);
  return hash.digest('hex');
}
