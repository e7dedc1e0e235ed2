// What `npm start`, `npm test` and `npm run bench` need before anything else: packages and a build. No dependencies here.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const installed = join(root, 'node_modules', '.package-lock.json');
const lock = join(root, 'package-lock.json');

/** Runs a program in the project's folder; ends this process with its exit code when it fails. */
export function run(command, args, options = {}) {
  const { status, error, signal } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) {
    console.error(`${command} could not be started: ${error.message}`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? (signal ? 1 : 0));
}

/** Installs the packages when they are missing or older than the lock file, and builds. Output goes to standard error. */
export function setUp() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`virtio-ts needs Node 20.19 or newer; this is ${process.versions.node}`);
    process.exit(1);
  }
  const quiet = { stdio: ['ignore', 2, 2] };
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    console.error('installing packages …');
    // Not `npm ci`: it refuses a lock file that lacks the optional binaries of platforms which a registry does not carry.
    run('npm', ['install', '--no-audit', '--no-fund'], quiet);
  }
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], quiet);
}
