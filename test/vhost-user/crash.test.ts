/**
 * A back-end is killed while Linux in QEMU works on its disk, and another takes its place, time after time: the guest sees no
 * error, and every byte is what was written. CRASH_ROUNDS says how often, CRASH_SEED when; `npm run crash` does it for long.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import { control } from '../../src/cli/serve/control-socket.ts';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { program } from '../cli/virtio.ts';
import { complaints, diskSum, endOfLoad, output, startLoad } from '../guest/commanded-guest.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { canBeMapped } from '../unit/storage/mappable-places.ts';
import { MortalServer } from './mortal-server.ts';
import { type RingFormat, vhostUserDisk } from './qemu-disk.ts';

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 2);
const seed = Number(process.env['CRASH_SEED'] ?? 1);
const LIMIT_MS = 180_000 + rounds * 15_000;
/** A guest that had to wait goes on meanwhile. */
const LATEST_KILL_MS = 600;

const newer = newerQemu();
if (newer === undefined)
  console.warn('skipped: back-ends killed at any moment; `node scripts/newer-qemu.mjs` fetches a QEMU');

/**
 * Beside the many small requests of `load`, large ones that follow each other past all caches: most kills meet some. What is
 * written over what was written just before is read back at once.
 */
const BULK = `
dd if=/dev/urandom of=/tmp/a bs=1M count=2 2>/dev/null; dd if=/dev/urandom of=/tmp/b bs=1M count=2 2>/dev/null
bulk() {
  while [ ! -e /tmp/stop ]; do
    for bytes in a b; do
      dd if=/tmp/$bytes of=/mnt/$1 bs=2M oflag=direct conv=notrunc 2>/dev/null || echo $1 was not written
      dd if=/mnt/$1 of=/tmp/back.$1 bs=2M iflag=direct 2>/dev/null || echo $1 was not read
      cmp /tmp/$bytes /tmp/back.$1 || echo $1 differs
    done
    echo again >>/tmp/bulk.$1
  done
}
for name in bulk1 bulk2; do bulk $name >/tmp/said.$name 2>&1 & done
for reader in 1 2; do while [ ! -e /tmp/stop ]; do dd if=/dev/vda of=/dev/null bs=4M iflag=direct 2>/dev/null; done & done
`;

interface Victim {
  readonly name: string;
  /** The one on PATH by default. */
  readonly qemu?: string;
  readonly reconnect: 'reconnect=1' | 'reconnect-ms=50';
  readonly queues: number;
  args(image: string, socket: string): string[];
  /** Resolves when a life has come so far that it may end. */
  begun(server: MortalServer, socket: string): Promise<void>;
  kill(server: MortalServer): Promise<void>;
}

/** Requests take long there, and overtake each other; it dies when some are in the middle. */
const late: Victim = {
  name: 'a disk that answers late',
  reconnect: 'reconnect=1',
  queues: 1,
  args: (image, socket) => [join(import.meta.dirname, 'file-server.mjs'), image, socket],
  begun: (server) => server.until('connected'),
  kill: (server) => server.killInTheMiddle(),
};

/**
 * `virtio serve`, killed from outside at any time after its rings were started. Before, QEMU 7.2 would never speak to a back-end again: it
 * connects to the next one and says nothing, as it has closed its ears when the one before was gone in the middle of its questions.
 */
function served(name: string, ...more: readonly string[]): Victim {
  return {
    name,
    reconnect: 'reconnect=1',
    queues: 2,
    args: (image, socket) => {
      const own = ['--image', image, '--vhost-user', socket, '--control', controlOf(socket), '--queues', '2'];
      return [program, 'serve', 'block', ...own, ...more];
    },
    begun: async (_server, socket) => {
      const status = async (): Promise<unknown> => await control(controlOf(socket), { command: 'status' });
      await expect
        .poll(status, { timeout: 30_000, interval: 20 })
        .toMatchObject({ status: expect.stringMatching(/DRIVER_OK/) });
    },
    kill: (server) => server.kill(),
  };
}

const controlOf = (socket: string): string => `${socket}.control`;

const victims = [
  ...(hasQemu ? [late, served('virtio serve')] : []),
  ...(hasQemu && canBeMapped ? [served('virtio serve --mapped', '--mapped')] : []),
  ...(newer === undefined ? [] : [atAnyMoment(newer)]),
];

/** From the moment on when QEMU has connected. */
function atAnyMoment(qemu: string): Victim {
  const begun: Victim['begun'] = (server) => server.until('connected');
  return { ...served('virtio serve at any moment'), qemu, reconnect: 'reconnect-ms=50', begun };
}

describe.each(victims)(`$name, killed ${rounds} times`, (victim) => {
  it.each(['split', 'packed'] as const)('leaves nothing undone, with %s rings', { timeout: LIMIT_MS }, (format) =>
    killAgainAndAgain(victim, format),
  );
});

async function killAgainAndAgain(victim: Victim, format: RingFormat): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-crash-'));
  const [image, socket] = [join(folder, 'image'), join(folder, 'socket')];
  writeFileSync(image, '');
  truncateSync(image, 64 << 20);
  const server = new MortalServer(victim.args(image, socket));
  let machine: QemuMachine | undefined;
  try {
    await server.start();
    const files = await guestFiles({ architecture: 'amd64' });
    const { qemu, reconnect, queues } = victim;
    const args = ['-smp', `${queues}`, ...vhostUserDisk(socket, format, { reconnect, queues })];
    machine = await QemuMachine.start({ ...(qemu && { program: qemu }), files, folder, load: ['virtio'], args });
    await startLoad(machine);
    await output(machine, BULK);
    const random = randomNumbers(seed);
    for (let round = 0; round < rounds; round++) {
      await new Promise((resolve) => setTimeout(resolve, random(LATEST_KILL_MS)));
      await victim.kill(server);
      await server.start();
      await victim.begun(server, socket);
    }
    // A request that is lost keeps a worker for ever.
    expect(await endOfLoad(machine, { timeoutMs: 90_000 })).toEqual({ bad: 0, verified: true });
    expect(await output(machine, 'while pidof dd >/dev/null; do sleep 1; done; sleep 1; cat /tmp/said.*')).toBe('');
    expect(Number(await output(machine, 'cat /tmp/bulk.* | wc -l'))).toBeGreaterThan(rounds / 10);
    expect(await complaints(machine)).toBe('');
    const inside = await diskSum(machine);
    expect(createHash('md5').update(readFileSync(image)).digest('hex')).toBe(inside);
    const lives = server.events.filter(({ event }) => event === 'resumed').length;
    console.log(
      `${victim.name}, ${format}, seed ${seed}: killed ${rounds} times, ${lives} queues left ${server.resumed} requests to be done`,
    );
    if (victim === late) expect(server.resumed).toBeGreaterThanOrEqual(rounds / 2);
    expect(server.events.filter(({ event }) => /failed|rejected|disk-error/.test(event))).toEqual([]);
  } finally {
    await machine?.stop();
    await server.kill();
    rmSync(folder, { recursive: true });
  }
}
