// Programs of Debian's that a step can do without, but does more with. No dependencies here.
import { spawnSync } from 'node:child_process';

/** What drivers for Linux are built with. */
export const compiler = { gcc: 'gcc', make: 'make', objcopy: 'binutils', xz: 'xz-utils' };

/**
 * Installs those of `programs` that are not on PATH, where this is Debian and we are root. What stays missing is said; the
 * step that needs it says what it leaves out.
 *
 * @param {Record<string, string>} programs by the program's name the package that it is in
 * @param {(line: string) => void} say
 */
export function installPrograms(programs, say = console.log) {
  const missing = Object.keys(programs).filter((name) => !isOnPath(name));
  if (missing.length === 0 || !isOnPath('apt-get') || process.getuid?.() !== 0) return;
  const packages = [...new Set(missing.map((name) => programs[name]))];
  say(`installing ${packages.join(', ')} …`);
  if (!apt('update') || !apt('install', '-y', '--no-install-recommends', ...packages)) {
    say(`apt-get failed: going on without ${missing.join(', ')}`);
  }
}

function isOnPath(name) {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

function apt(...args) {
  const { status } = spawnSync('apt-get', ['-o', 'Acquire::Check-Valid-Until=false', '-qq', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}
