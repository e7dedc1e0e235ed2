// `node scripts/newer-qemu.mjs`: puts a QEMU that speaks vfio-user (10.1 or newer) into the cache, for tests, where the one on PATH
// does not: Debian's own from a later release, unpacked and not installed, about 200 MB. No root needed. No dependencies here.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchLater } from './later-debian.mjs';

const RELEASE = 'forky';
/** To be raised when what is made here changes. */
const RECIPE = 1;
const PROGRAM = 'qemu-system-x86_64';

const cacheHome = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const folder = join(cacheHome, 'virtio-ts', `newer-qemu-${RECIPE}`);

/** The path of a QEMU that speaks vfio-user; undefined when there is none yet. */
export function newerQemu() {
  // One that does not know the device has nothing to say of it.
  return [PROGRAM, join(folder, PROGRAM)].find((program) =>
    spawnSync(program, ['-device', 'vfio-user-pci,help'], { encoding: 'utf8' }).stdout?.includes('x-msg-timeout'),
  );
}

/**
 * Fetches one if there is none. What cannot be had is said; what needs it says what it leaves out.
 *
 * @param {(line: string) => void} say
 */
export function installNewerQemu(say = console.log) {
  if (newerQemu() !== undefined) return;
  try {
    say(`fetching QEMU of Debian ${RELEASE} …`);
    fetchLater(folder, RELEASE, ['qemu-system-x86'], (complete) =>
      writeFileSync(join(complete, PROGRAM), launcher, { mode: 0o755 }),
    );
  } catch (error) {
    // Another process may have been quicker.
    if (newerQemu() === undefined) say(`no QEMU that speaks vfio-user: ${error.message}`);
  }
}

/** Runs the program with the libraries it came with. */
const launcher = `#!/bin/sh
root=$(dirname "$0")/root
libraries=$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$libraries/qemu"
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/systemd" "$root/usr/bin/${PROGRAM}" \\
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installNewerQemu();
  console.log(newerQemu() ?? 'none');
  process.exitCode = newerQemu() === undefined ? 1 : 0;
}
