import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveVhostUserInWorker } from 'virtio-ts/hosts/vhost-user';
import { against, type Row, timeAgainst } from './row.ts';
import { type Load, measureInTurns, type Server, servePeer, shown } from './servers.ts';

const FILE_BYTES = 512 << 20;

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

async function compare(bench: string, each: Case, ours: Server, peer: Server): Promise<Row[]> {
  const [our, its] = await measureInTurns(bench, each, [ours, peer]);
  const row = shown(against('vhost', each.name, 'kIOPS', our!.rate, its!.rate, each.least));
  if (each.disk !== 'null' || each.depth !== 128 || each.notified !== 'interrupts') return [row];
  const name = 'processor per null request, depth 128';
  return [row, shown(timeAgainst('vhost', name, 'ns', our!.cpu, its!.cpu, 1 / 0.15))];
}

async function serveOurs(folder: string, disk: Case['disk'], image: string, pollUs: number): Promise<Server> {
  const path = join(folder, `ours-${disk}-${pollUs}`);
  const module = new URL('./vhost-device.js', import.meta.url);
  const server = await serveVhostUserInWorker({ path, module, options: disk === 'file' ? { image } : {}, pollUs });
  const cpu = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) * 1000;
  };
  // A thread of this process: when it fails, so does the bench.
  const start = (): Promise<never> => Promise.reject(new Error('it cannot end'));
  return { path, cpu, ended: undefined, start, close: () => server.close() };
}

function nodeOf(disk: Case['disk'], image: string): string {
  return disk === 'null'
    ? 'null-co,node-name=disk,size=1073741824,read-zeroes=off'
    : `file,node-name=disk,filename=${image},aio=threads,locking=off`;
}
