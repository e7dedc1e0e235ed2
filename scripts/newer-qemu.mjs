// `node scripts/newer-qemu.mjs`: puts a QEMU that speaks vfio-user (10.1 or newer) into the cache, for tests, where the one on PATH
// does not: Debian's own from a later release, unpacked and not installed, about 200 MB. No root needed. No dependencies here.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const RELEASE = 'forky';
/** To be raised when what is made here changes. */
const RECIPE = 1;
const PROGRAM = 'qemu-system-x86_64';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

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
    mkdirSync(dirname(folder), { recursive: true });
    fetchInto(folder);
  } catch (error) {
    // Another process may have been quicker.
    if (newerQemu() === undefined) say(`no QEMU that speaks vfio-user: ${error.message}`);
  }
}

function fetchInto(target) {
  if (process.arch !== 'x64') throw new Error(`this needs x86-64; here is ${process.arch}`);
  const work = mkdtempSync(`${target}.`);
  try {
    for (const name of ['lists/partial', 'archives/partial', 'complete/root'])
      mkdirSync(join(work, name), { recursive: true });
    writeFileSync(join(work, 'status'), '');
    const configured = configuration(work, 'configured', '');
    apt(configured, 'apt-get', 'update');
    const targets = ['--format', '$(REPO_URI)', 'Created-By: Packages', 'Origin: Debian', 'Label: Debian'];
    const [mirror] = apt(configured, 'apt-get', 'indextargets', ...targets).split('\n');
    if (!mirror) throw new Error('apt has no source with packages of Debian');
    writeFileSync(join(work, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${RELEASE} main\n`);
    const later = configuration(
      work,
      'later',
      `Dir::Etc::sourcelist "${work}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n`,
    );
    apt(later, 'apt-get', 'update');
    apt(later, 'apt-get', 'install', '--download-only', '--yes', 'qemu-system-x86');
    const archives = join(work, 'archives');
    for (const name of readdirSync(archives)) {
      if (name.endsWith('.deb')) run('dpkg-deb', '-x', join(archives, name), join(work, 'complete/root'));
    }
    const program = join(work, 'complete', PROGRAM);
    writeFileSync(program, launcher);
    chmodSync(program, 0o755);
    renameSync(join(work, 'complete'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
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

/** The machine's own settings, with all state in a folder of ours; see src/machine/apt-packages.ts. */
function configuration(work, name, sources) {
  const path = join(work, `${name}.conf`);
  writeFileSync(
    path,
    `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State "${work}";
Dir::State::Lists "${work}/lists";
Dir::State::status "${work}/status";
Dir::Cache "${work}";
Dir::Cache::archives "${work}/archives";
${sources}`,
  );
  return path;
}

function apt(conf, program, ...args) {
  return run(program, '-qq', '-c', conf, ...args);
}

function run(program, ...args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.trim().split('\n').at(-1)}`);
  return stdout;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installNewerQemu();
  console.log(newerQemu() ?? 'none');
  process.exitCode = newerQemu() === undefined ? 1 : 0;
}
