// Programs of a later Debian than this one, unpacked into the cache and not installed. No root needed. No dependencies here.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Puts packages, and all that they need, into `target`, below root/. Throws when they cannot be had; then nothing is there.
 *
 * @param {string} target
 * @param {string} release
 * @param {readonly string[]} packages
 * @param {(folder: string) => void} finish what else is to be in the folder before it is in its place
 */
export function fetchLater(target, release, packages, finish) {
  if (process.arch !== 'x64') throw new Error(`this needs x86-64; here is ${process.arch}`);
  mkdirSync(dirname(target), { recursive: true });
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
    writeFileSync(join(work, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${release} main\n`);
    const later = configuration(
      work,
      'later',
      `Dir::Etc::sourcelist "${work}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n`,
    );
    apt(later, 'apt-get', 'update');
    apt(later, 'apt-get', 'install', '--download-only', '--yes', ...packages);
    const archives = join(work, 'archives');
    for (const name of readdirSync(archives)) {
      if (name.endsWith('.deb')) run('dpkg-deb', '-x', join(archives, name), join(work, 'complete/root'));
    }
    finish(join(work, 'complete'));
    renameSync(join(work, 'complete'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

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
