import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { promisify } from 'node:util';
import { percentile, type Row } from './row.ts';

const ROUND_SECONDS = 1;
const MOST_WAITS = 50;
const MOST_TURNS = 4;
const run = promisify(execFile);

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);

/** A vhost-user back-end that is measured. */
export interface Server {
  readonly path: string;
  /** Processor time so far, in nanoseconds. */
  cpu(): number;
  /** Undefined as long as it runs; otherwise how it ended. */
  readonly ended: string | undefined;
  /** Again, after it has ended. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** What the front-end does. */
export interface Load {
  readonly depth: number;
  readonly bytes: number;
  readonly access: 'randread' | 'randwrite';
  readonly notified: 'interrupts' | 'polling';
}

/** What one turn of a server came to. */
export interface Turn {
  /** Thousands of requests in a second. */
  readonly rate: number;
  /** Processor time of the server for each request, in nanoseconds. */
  readonly cpu: number;
}

/** All servers have their turn in each round, as a machine is not always as fast; the medians, in their order. */
export async function measureInTurns(bench: string, load: Load, servers: readonly Server[]): Promise<Turn[]> {
  const turns = servers.map((): Turn[] => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [n, server] of servers.entries()) turns[n]!.push(await turnOf(server, bench, load));
  return turns.map((of) => ({ rate: median(of.map(({ rate }) => rate)), cpu: median(of.map(({ cpu }) => cpu)) }));
}

/** A turn in which a server ends does not count: the storage daemon fails an assertion of its own now and then when a front-end leaves. */
async function turnOf(server: Server, bench: string, load: Load): Promise<Turn> {
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    if (server.ended !== undefined) {
      process.stderr.write(`${server.path} ended with ${server.ended}: another turn\n`);
      await server.start();
    }
    await idle();
    const before = server.cpu();
    const measured = await measure(bench, load, server.path).catch((error: Error) => error);
    // What it does when its front-end leaves comes a little later.
    await pause(100);
    if (server.ended === undefined) {
      if (measured instanceof Error) throw measured;
      return { rate: measured, cpu: (server.cpu() - before) / (measured * 1000 * ROUND_SECONDS) };
    }
  }
  throw new Error(`${server.path} ends each time: with ${server.ended}`);
}

async function measure(bench: string, { depth, bytes, access, notified }: Load, path: string): Promise<number> {
  const options = [`--runtime=${ROUND_SECONDS}`, `--iodepth=${depth}`, `--blocksize=${bytes}`, `--readwrite=${access}`];
  if (notified === 'polling') options.push('--poll');
  const { stdout } = await run(bench, [...options, 'virtio-blk-vhost-user', `path=${path}`], { timeout: 60_000 });
  return Number(/"kiops": ([\d.]+)/.exec(stdout)![1]);
}

/** The storage daemon, with a disk that is described as its option `--blockdev` wants it. */
export function servePeer(program: string, path: string, disk: string): Promise<Server> {
  const at = `vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=${path},writable=on`;
  return serveByProgram(path, program, ['--blockdev', disk, '--export', at]);
}

/** A program of its own that serves a disk at a socket. */
export async function serveByProgram(
  path: string,
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const server = new ProgramServer(path, () => {
    return spawn(program, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, ...environment },
    });
  });
  await server.start();
  return server;
}

class ProgramServer implements Server {
  readonly path: string;
  ended: string | undefined;
  readonly #spawn: () => ChildProcess;
  #child!: ChildProcess;

  constructor(path: string, spawnIt: () => ChildProcess) {
    this.path = path;
    this.#spawn = spawnIt;
  }

  async start(): Promise<void> {
    this.ended = undefined;
    this.#child = this.#spawn();
    this.#child.once('exit', (code, signal) => {
      this.ended = String(signal ?? code);
    });
    while (readSockets().every((line) => !line.endsWith(this.path))) {
      if (this.ended !== undefined) throw new Error(`${this.path}: its server ended with ${this.ended}`);
      await pause(20);
    }
  }

  cpu(): number {
    return processorTime(this.#child.pid!);
  }

  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    const exit = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill();
    await exit;
  }
}

function readSockets(): string[] {
  return readFileSync('/proc/net/unix', 'latin1').split('\n');
}

/** Of a process and its threads, in nanoseconds. */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 1e7;
}

/** Waits until the machine has nothing else to do, but not for ever: then it says so. */
async function idle(): Promise<void> {
  for (let n = 0; n < MOST_WAITS; n++) {
    const before = busyMs();
    await pause(100);
    if (busyMs() - before < 20 * cpus().length) return;
  }
  process.stderr.write('this machine has other things to do: what follows may be off\n');
}

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** Shows a row while others are measured. */
export function shown(row: Row): Row {
  process.stderr.write(`  ${row.row}: ${row.ours} next to ${row.peer} ${row.unit}\n`);
  return row;
}
