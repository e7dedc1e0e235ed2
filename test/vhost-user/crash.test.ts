/**
 * A back-end is killed while Linux in QEMU works on its disk, and another takes its place, time after time: the guest sees no
 * error, and every byte is what was written. ROUNDS says how often; `npm run crash -- --rounds 200` does it for long.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { guestFiles } from '../../src/machine/guest-files.ts';
import { hasQemu, QemuMachine } from '../guest/qemu-machine.ts';
import { MortalServer } from './mortal-server.ts';
import { vhostUserDisk } from './qemu-disk.ts';

const rounds = Number(process.env['ROUNDS'] ?? 2);
const LIMIT_MS = 120_000 + rounds * 15_000;

describe.skipIf(!hasQemu)(`a back-end that is killed ${rounds} times in the middle of its work`, () => {
  it.each(['split', 'packed'] as const)(
    'leaves nothing undone, with %s rings',
    { timeout: LIMIT_MS },
    async (format) => {
      const folder = mkdtempSync(join(tmpdir(), 'virtio-crash-'));
      const [image, path] = [join(folder, 'image'), join(folder, 'socket')];
      writeFileSync(image, '');
      truncateSync(image, 64 << 20);
      const server = new MortalServer(image, path);
      let machine: QemuMachine | undefined;
      try {
        await server.start();
        const files = await guestFiles({ architecture: 'amd64' });
        machine = await QemuMachine.start({
          files,
          folder,
          load: ['virtio'],
          args: vhostUserDisk(path, format, 'reconnect'),
        });
        const output = async (line: string): Promise<string> => {
          const result = await machine!.command(line, { timeoutMs: 120_000 });
          expect(result.exitCode, result.output).toBe(0);
          return result.output;
        };
        await output('mke2fs -F /dev/vda >/dev/null 2>&1');
        await output('load /dev/vda 3 8 >/tmp/log 2>&1 &');
        for (let round = 0; round < rounds; round++) {
          await new Promise((resolve) => setTimeout(resolve, 200 + ((round * 137) % 400)));
          await server.kill();
          await server.start();
          await server.until('connected');
        }
        await output('touch /tmp/stop; while pidof load >/dev/null; do sleep 1; done');
        expect(await output('cat /tmp/log; verify')).not.toMatch(/not what was written|differ|error/i);
        expect(await output('tail -n 4 /tmp/log')).toMatch(/written and read back, 0 bad/);
        expect(await output('dmesg | grep -ci "error" || true')).toBe('0\n');
        console.log(`${rounds} times killed, ${server.resumed} requests in the middle`);
        expect(server.resumed).toBeGreaterThanOrEqual(rounds / 2);
        expect(server.events.filter(({ event }) => event === 'failed' || event === 'rejected')).toEqual([]);
      } finally {
        await machine?.stop();
        await server.kill(0);
        rmSync(folder, { recursive: true });
      }
    },
  );
});
