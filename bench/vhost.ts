import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serveVhostUserInWorker } from 'virtio-ts/hosts/vhost-user';
import { against, type Row, timeAgainst } from './row.ts';

export const ROUNDS: number = Number(process.env['ROUNDS'] ?? 5);
const ROUND_SECONDS = 1;
const FILE_BYTES = 512 << 20;
const MOST_WAITS = 20;
const run = promisify(execFile);

export interface Peer {
  readonly path: string;
  /** Processor time of the server so far, in nanoseconds. */
  cpu(): number;
  close(): Promise<void>;
}

/** What the front-end does. */
export interface Load {
  readonly depth: number;
  readonly bytes: number;
  readonly access: 'randread' | 'randwrite';
  readonly notified: 'interrupts' | 'polling';
}

interface Case extends Load {
  readonly name: string;
  readonly disk: 'null' | 'file';
  /** How many times the peer's it has to be. */
  readonly least: number;
}

const nullCase = (depth: number, notified: Case['notified'], least: number): Case => {
  const name = `null 4k, depth ${depth}, ${notified}`;
  return { name, disk: 'null', depth, bytes: 4096, access: 'randread', notified, least };
};
const fileCase = (bytes: number, depth: number, access: Case['access'], least: number): Case => {
  const name = `hot file ${bytes >>> 10}k ${access === 'randread' ? 'read' : 'write'}, depth ${depth}, interrupts`;
  return { name, disk: 'file', depth, bytes, access, notified: 'interrupts', least };
};

const CASES: readonly Case[] = [
  nullCase(1, 'interrupts', 2),
  nullCase(1, 'polling', 4),
  ...[32, 128].flatMap((depth) => [nullCase(depth, 'interrupts', 6), nullCase(depth, 'polling', 6)]),
  ...[32, 128].flatMap((depth) => [fileCase(4096, depth, 'randread', 4), fileCase(4096, depth, 'randwrite', 4)]),
  fileCase(65536, 16, 'randread', 1.7),
  fileCase(524288, 16, 'randread', 1),
];

/**
 * A thread of ours next to qemu-storage-daemon, each with libblkio's benchmark as the front-end, in turns within one run. The
 * medians of the rounds. Both programs are named by the environment, see scripts/bench.mjs; nothing is measured without them.
 */
export async function vhostSuite(): Promise<Row[]> {
  const { BLKIO_BENCH: bench, STORAGE_DAEMON: storageDaemon } = process.env;
  if (bench === undefined || storageDaemon === undefined) return [];
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  const image = join(folder, 'image');
  writeFileSync(image, Buffer.alloc(FILE_BYTES, 1));
  const rows: Row[] = [];
  try {
    for (const disk of ['null', 'file'] as const) {
      const ours = await serveOurs(folder, disk, image, 50);
      const peer = await servePeer(storageDaemon, join(folder, `peer-${disk}`), nodeOf(disk, image));
      for (const each of CASES) if (each.disk === disk) rows.push(...(await compare(bench, each, ours, peer)));
      await ours.close();
      if (disk === 'null') {
        const asleep = await serveOurs(folder, disk, image, 0);
        const each = { ...nullCase(32, 'interrupts', 1), name: 'null 4k, depth 32, interrupts, without looking' };
        rows.push(...(await compare(bench, each, asleep, peer)));
        await asleep.close();
      }
      await peer.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return rows;
}

async function compare(bench: string, each: Case, ours: Peer, peer: Peer): Promise<Row[]> {
  const samples = {
    ours: { rates: [] as number[], cpu: [] as number[] },
    peer: { rates: [] as number[], cpu: [] as number[] },
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, server] of [
      ['ours', ours],
      ['peer', peer],
    ] as const) {
      await idle();
      const before = server.cpu();
      const rate = await measure(bench, each, server.path);
      samples[name].rates.push(rate);
      samples[name].cpu.push((server.cpu() - before) / (rate * 1000 * ROUND_SECONDS));
    }
  }
  const row = against('vhost', each.name, 'kIOPS', median(samples.ours.rates), median(samples.peer.rates), each.least);
  if (each.disk !== 'null' || each.depth !== 128 || each.notified !== 'interrupts') return [row];
  const cpu = timeAgainst(
    'vhost',
    'processor per null request, depth 128',
    'ns',
    median(samples.ours.cpu),
    median(samples.peer.cpu),
    1 / 0.15,
  );
  return [row, cpu];
}

/** Thousands of requests in a second. */
export async function measure(bench: string, { depth, bytes, access, notified }: Load, path: string): Promise<number> {
  const options = [`--runtime=${ROUND_SECONDS}`, `--iodepth=${depth}`, `--blocksize=${bytes}`, `--readwrite=${access}`];
  if (notified === 'polling') options.push('--poll');
  const { stdout } = await run(bench, [...options, 'virtio-blk-vhost-user', `path=${path}`], { timeout: 60_000 });
  return Number(/"kiops": ([\d.]+)/.exec(stdout)![1]);
}

async function serveOurs(folder: string, disk: Case['disk'], image: string, pollUs: number): Promise<Peer> {
  const path = join(folder, `ours-${disk}-${pollUs}`);
  const module = new URL('./vhost-device.js', import.meta.url);
  const server = await serveVhostUserInWorker({ path, module, options: disk === 'file' ? { image } : {}, pollUs });
  const cpu = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) * 1000;
  };
  return { path, cpu, close: () => server.close() };
}

function nodeOf(disk: Case['disk'], image: string): string {
  return disk === 'null'
    ? 'null-co,node-name=disk,size=1073741824,read-zeroes=off'
    : `file,node-name=disk,filename=${image},aio=threads,locking=off`;
}

/** The storage daemon, with a disk that is described as its option `--blockdev` wants it. */
export function servePeer(program: string, path: string, disk: string): Promise<Peer> {
  const at = `vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=${path},writable=on`;
  return serveByProgram(path, program, ['--blockdev', disk, '--export', at]);
}

/** A program of its own that serves a disk at a socket. */
export async function serveByProgram(
  path: string,
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Peer> {
  const env = { ...process.env, ...environment };
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  while (readSockets().every((line) => !line.endsWith(path))) await new Promise((resolve) => setTimeout(resolve, 20));
  const close = async (): Promise<void> => {
    child.kill();
    await ended;
  };
  return { path, cpu: () => processorTime(child.pid!), close };
}

function readSockets(): string[] {
  return readFileSync('/proc/net/unix', 'latin1').split('\n');
}

/** Of a process and its threads, in nanoseconds. */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 1e7;
}

/** Waits until the machine has nothing else to do, but not for ever. */
export async function idle(): Promise<void> {
  for (let n = 0; n < MOST_WAITS; n++) {
    const before = busyMs();
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (busyMs() - before < 20 * cpus().length) return;
  }
}

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
}

export function median(samples: readonly number[]): number {
  return [...samples].sort((one, other) => one - other)[samples.length >> 1]!;
}
