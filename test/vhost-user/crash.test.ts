/**
 * A back-end is killed while Linux in QEMU works on its disk, and another takes its place, time after time: the guest sees no
 * error, and every byte is what was written. CRASH_ROUNDS says how often, CRASH_SEED when; `npm run crash` does it for long.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
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
/** After QEMU has connected, and a guest that had to wait goes on. */
const LATEST_KILL_MS = 600;

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
  readonly queues: number;
  args(image: string, socket: string): string[];
  kill(server: MortalServer): Promise<void>;
}

/** `virtio serve`, killed from outside at any time. */
function served(name: string, ...more: readonly string[]): Victim {
  const queues = 2;
  return {
    name,
    queues,
    args: (image, socket) => {
      const own = ['--image', image, '--vhost-user', socket, '--queues', `${queues}`];
      return [program, 'serve', 'block', ...own, ...more];
    },
    kill: (server) => server.kill(),
  };
}

/** Requests take long there, and overtake each other; it dies when some are in the middle. */
const late: Victim = {
  name: 'a disk that answers late',
  queues: 1,
  args: (image, socket) => [join(import.meta.dirname, 'file-server.mjs'), image, socket],
  kill: (server) => server.killInTheMiddle(),
};

const victims = [late, served('virtio serve'), ...(canBeMapped ? [served('virtio serve --mapped', '--mapped')] : [])];

describe.skipIf(!hasQemu).each(victims)(`$name, killed ${rounds} times`, (victim) => {
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
    const disk = vhostUserDisk(socket, format, { reconnect: true, queues: victim.queues });
    machine = await QemuMachine.start({ files, folder, load: ['virtio'], args: ['-smp', `${victim.queues}`, ...disk] });
    await startLoad(machine);
    await output(machine, BULK);
    const random = randomNumbers(seed);
    for (let round = 0; round < rounds; round++) {
      await new Promise((resolve) => setTimeout(resolve, random(LATEST_KILL_MS)));
      await victim.kill(server);
      await server.start();
      await server.until('connected');
    }
    // A request that is lost keeps a worker for ever.
    expect(await endOfLoad(machine, { timeoutMs: 90_000 })).toEqual({ bad: 0, verified: true });
    expect(await output(machine, 'while pidof dd >/dev/null; do sleep 1; done; sleep 1; cat /tmp/said.*')).toBe('');
    expect(Number(await output(machine, 'cat /tmp/bulk.* | wc -l'))).toBeGreaterThan(rounds / 4);
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
