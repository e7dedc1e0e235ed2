// `node scripts/blkio.mjs`: puts libblkio's examples and a qemu-storage-daemon of the same age into the cache, about 150 MB: what
// a vhost-user back-end is measured with, and next to. Needs gcc. No root needed. No dependencies here.
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchLater } from './later-debian.mjs';

const RELEASE = 'trixie';
/** To be raised when what is made here changes. */
const RECIPE = 2;
const EXAMPLES = ['blkio-bench', 'blkio-copy'];
const PROGRAMS = [...EXAMPLES, 'qemu-storage-daemon'];

const cacheHome = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const folder = join(cacheHome, 'virtio-ts', `blkio-${RECIPE}`);

/** The paths of the programs; undefined when they are not there. */
export function blkioPrograms() {
  const [bench, copy, storageDaemon] = PROGRAMS.map((name) => join(folder, name));
  const programs = { bench, copy, storageDaemon };
  return Object.values(programs).every((path) => existsSync(path)) ? programs : undefined;
}

/**
 * Fetches and builds them if there are none. What cannot be had is said; what needs it says what it leaves out.
 *
 * @param {(line: string) => void} say
 */
export function installBlkio(say = console.log) {
  if (blkioPrograms() !== undefined) return;
  try {
    say(`fetching libblkio and qemu-storage-daemon of Debian ${RELEASE} …`);
    fetchLater(folder, RELEASE, ['qemu-utils', 'libblkio-dev'], finish);
  } catch (error) {
    // Another process may have been quicker.
    if (blkioPrograms() === undefined) say(`no libblkio: ${error.message}`);
  }
}

function finish(complete) {
  const root = join(complete, 'root');
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu');
  const where = [`-I${root}/usr/include`, `-L${libraries}`, '-Wl,--allow-shlib-undefined', '-lblkio', '-lpthread'];
  for (const name of EXAMPLES) {
    const source = join(root, 'usr/share/doc/libblkio-dev/examples', `${name}.c`);
    const built = spawnSync('gcc', ['-O2', '-o', join(root, 'usr/bin', name), source, ...where], { encoding: 'utf8' });
    if (built.error !== undefined) throw built.error;
    if (built.status !== 0)
      throw new Error(`gcc ended with ${built.status}: ${built.stderr.trim().split('\n').at(-1)}`);
  }
  for (const name of PROGRAMS) writeFileSync(join(complete, name), launcher(name), { mode: 0o755 });
}

/** Runs a program with the libraries it came with. */
function launcher(name) {
  return `#!/bin/sh
root=$(dirname "$0")/root
libraries=$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$libraries/qemu"
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/systemd" "$root/usr/bin/${name}" "$@"
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installBlkio();
  console.log(blkioPrograms()?.bench ?? 'none');
  process.exitCode = blkioPrograms() === undefined ? 1 : 0;
}
