import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { against, type Row } from './row.ts';
import { type Load, measureInTurns, type Server, serveByProgram, servePeer, shown } from './servers.ts';

const IMAGE_BYTES = 1 << 30;
const PIECE_BYTES = 1 << 20;
const TMPFS = 0x0102_1994;
/** Node's pool has so many threads unless told otherwise, and the most requests that a disk has with it. */
const POOLS = [4, 16] as const;

interface Case extends Load {
  readonly name: string;
}

const coldCase = (bytes: number, depth: number, access: Load['access']): Case => {
  const name = `cold file ${bytes >>> 10}k ${access === 'randread' ? 'read' : 'write'}, depth ${depth}`;
  return { name, bytes, depth, access, notified: 'interrupts' };
};

const CASES: readonly Case[] = [
  coldCase(4096, 1, 'randread'),
  coldCase(4096, 32, 'randread'),
  coldCase(4096, 32, 'randwrite'),
  coldCase(65536, 16, 'randread'),
];

/**
 * `virtio serve block --direct` next to qemu-storage-daemon with `cache.direct=on`, as the vhost suite does it: both go past the page
 * cache, so that the medium is what is measured, and how many requests are with it at once. Nothing is measured on tmpfs, which
 * is the page cache itself, nor without the programs.
 */
export async function vhostDirectSuite(): Promise<Row[]> {
  const { BLKIO_BENCH: bench, STORAGE_DAEMON: storageDaemon } = process.env;
  if (bench === undefined || storageDaemon === undefined) return [];
  const place = [tmpdir(), '/var/tmp'].find((folder) => statfsSync(folder).type !== TMPFS);
  if (place === undefined) {
    process.stderr.write('vhost-direct: no folder for temporary files is on a disk\n');
    return [];
  }
  const folder = mkdtempSync(join(place, 'virtio-bench-'));
  const image = join(folder, 'image');
  const rows: Row[] = [];
  const servers: Server[] = [];
  try {
    writeImage(image);
    const disk = `file,node-name=disk,filename=${image},aio=threads,cache.direct=on,locking=off`;
    servers.push(await servePeer(storageDaemon, join(folder, 'peer'), disk));
    for (const pool of POOLS) servers.push(await serveOurs(join(folder, `ours-${pool}`), image, pool));
    for (const each of CASES) rows.push(...(await compare(bench, each, servers)));
  } finally {
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true });
  }
  return rows;
}

/** Random bytes, on the medium: what the system has of it in its page cache is as it is there, and nobody asks for it. */
function writeImage(path: string): void {
  const piece = new Uint8Array(PIECE_BYTES);
  const fd = openSync(path, 'w');
  for (let at = 0; at < IMAGE_BYTES; at += PIECE_BYTES) {
    for (let n = 0; n < PIECE_BYTES; n += 65536) crypto.getRandomValues(piece.subarray(n, n + 65536));
    writeSync(fd, piece);
  }
  fsyncSync(fd);
  closeSync(fd);
}

/** As a user starts it; `--shared`, as the one with another pool has the image open, too. */
function serveOurs(path: string, image: string, pool: number): Promise<Server> {
  const cli = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
  const args = [cli, 'serve', 'block', '--image', image, '--direct', '--shared', '--vhost-user', path];
  return serveByProgram(path, process.execPath, args, { UV_THREADPOOL_SIZE: String(pool) });
}

/** The peer is the first of the servers. */
async function compare(bench: string, each: Case, servers: readonly Server[]): Promise<Row[]> {
  const [peer, ...ours] = await measureInTurns(bench, each, servers);
  return ours.map(({ rate }, n) => {
    const name = `${each.name}, a pool of ${POOLS[n]} threads`;
    return shown(against('vhost-direct', name, 'kIOPS', rate, peer!.rate, null));
  });
}
