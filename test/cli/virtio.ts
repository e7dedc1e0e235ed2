import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach } from 'vitest';

/** The program as built. */
export const program: string = join(import.meta.dirname, '../../dist/cli/main.js');

/** Drivers for Linux are built here. */
export const hasCompiler: boolean = spawnSync('sh', ['-c', 'command -v gcc && command -v make']).status === 0;

/** A boot, should one be needed, takes less. */
const SAYS_LIMIT_MS = 100_000;

export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly folder?: string;
  /** Standard input; empty by default. */
  readonly input?: string;
}

const started = new Set<ChildProcess>();
// What a failed test has left running.
afterEach(() => {
  for (const child of started) child.kill('SIGKILL');
});

/** A program that runs: what it has said so far, and what to do with it. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  #heard = (): void => {};

  constructor(command: string, args: readonly string[], { environment, folder }: ProgramOptions = {}) {
    this.child = spawn(command, args, { cwd: folder, env: { ...process.env, NO_COLOR: '1', ...environment } });
    started.add(this.child);
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#heard();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#heard();
    });
    // What is sent to a program that has ended is lost, as everywhere.
    this.child.stdin!.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code) => {
        started.delete(this.child);
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
        this.#heard();
      });
    });
  }

  send(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Waits until standard output or error has what is looked for, from a position of standard output on. */
  async says(wanted: RegExp, from = 0): Promise<RegExpExecArray> {
    const end = Date.now() + SAYS_LIMIT_MS;
    for (;;) {
      const found = wanted.exec(this.stdout.slice(from)) ?? wanted.exec(this.stderr);
      if (found !== null) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended without saying ${wanted}: ${this.stdout.slice(from)}\n${this.stderr}`);
      }
      if (Date.now() > end) {
        throw new Error(
          `it did not say ${wanted} within ${SAYS_LIMIT_MS} ms: ${this.stdout.slice(from)}\n${this.stderr}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        setTimeout(resolve, 1000);
      });
    }
  }
}

/** Starts `virtio`; its standard input stays open. */
export function start(args: readonly string[], options: ProgramOptions = {}): Running {
  return new Running(process.execPath, [program, ...args], options);
}

/** Runs `virtio` to its end. */
export function virtio(args: readonly string[], options: ProgramOptions = {}): Promise<Ended> {
  const running = start(args, options);
  running.child.stdin!.end(options.input ?? '');
  return running.ended;
}

/** A folder for the tests of one file, removed after them; images and sums of files in it. */
export function workFolder(): {
  path(name: string): string;
  image(name: string, bytes?: number): string;
  sha256(path: string): string;
} {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const image = (name: string, bytes = 1 << 20): string => {
    writeFileSync(path(name), '');
    truncateSync(path(name), bytes);
    return path(name);
  };
  return { path, image, sha256 };
}

/**
 * An environment in a new folder, without a program but Node: no apt-get, no dpkg-deb, no gcc, no make. Its cache has these
 * entries of another one.
 */
export function withoutPrograms(folder: string, cache: string, kept: readonly string[]): NodeJS.ProcessEnv {
  const own = join(folder, 'cache', 'virtio-ts');
  mkdirSync(own, { recursive: true });
  for (const entry of kept) symlinkSync(join(cache, entry), join(own, entry));
  mkdirSync(join(folder, 'bin'));
  symlinkSync(process.execPath, join(folder, 'bin', 'node'));
  return { PATH: join(folder, 'bin'), XDG_CACHE_HOME: join(folder, 'cache') };
}

export function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
