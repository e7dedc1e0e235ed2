import type { CommandResult } from '../../src/machine/guest-commands.ts';

/** A guest of ours that runs commands, in v86 or in QEMU. */
export interface CommandedGuest {
  command(line: string, options?: { timeoutMs?: number }): Promise<CommandResult>;
}

/** The output of a command that has to succeed. */
export async function output(guest: CommandedGuest, command: string, timeoutMs = 60_000): Promise<string> {
  const result = await guest.command(command, { timeoutMs });
  if (result.exitCode !== 0) throw new Error(`\`${command}\` failed in the guest: ${result.output}`);
  return result.output;
}

export interface LoadOptions {
  readonly disk?: string;
  readonly workers?: number;
  /** Of each worker. */
  readonly files?: number;
}

/** Starts to write and check files, as guest/load says; resolves when some are there. */
export async function startLoad(guest: CommandedGuest, options: LoadOptions = {}): Promise<void> {
  const { disk = '/dev/vda', workers = 2, files = 8 } = options;
  const first = `/tmp/sums/1.${Math.min(files, 4) - 1}`;
  await output(
    guest,
    `load ${disk} ${workers} ${files} >/tmp/load 2>&1 & while [ ! -e ${first} ]; do sleep 1; done`,
    120_000,
  );
}

/** How many files were not read back as they were written, by any worker, and whether all were right in the end. */
export async function endOfLoad(
  guest: CommandedGuest,
  { workers = 2, timeoutMs = 240_000 }: { readonly workers?: number; readonly timeoutMs?: number } = {},
): Promise<{ bad: number; verified: boolean }> {
  const end = 'touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done; cat /tmp/load; verify';
  const { output: said } = await guest.command(end, { timeoutMs });
  const stopped = [...said.matchAll(/stopped: \d+ files written and read back, (\d+) bad/g)];
  if (stopped.length !== workers) throw new Error(`the workers did not stop as they should: ${said}`);
  return {
    bad: stopped.reduce((sum, [, bad]) => sum + Number(bad), 0),
    verified: /verify: ok, \d+ files, 0 bad\n$/.test(said),
  };
}

/** What the kernel has complained of since it was started. */
export function complaints(guest: CommandedGuest): Promise<string> {
  return output(guest, 'dmesg | grep "I/O error\\|WARNING\\|BUG\\|Call Trace" || true');
}

/** The sum of all of a disk that is no longer written to, its file system taken off, as the device itself has it. */
export async function diskSum(guest: CommandedGuest, disk = '/dev/vda'): Promise<string> {
  const said = await output(
    guest,
    `umount /mnt 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches; md5sum <${disk}`,
    120_000,
  );
  return said.slice(0, 32);
}
