/** `virtio serve` when it is killed after a flush, and when the file system below it is full. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hasProgram } from '../support/programs.ts';
import { pattern } from '../support/rig.ts';
import { canBeMapped } from '../unit/storage/mappable-places.ts';
import { argumentsOf, drive, events, folder, freshName, PROTOCOLS, places, scrape, serve } from './served-disk.ts';
import { program, Running } from './virtio.ts';

const canTrace = hasProgram('strace', 'strace') && spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('skipped: what a server asks of the system at a flush, as strace does not work here');

const canMount = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
if (!canMount) console.warn('skipped: a full file system, as none can be mounted here');

const KINDS = canBeMapped ? ['cached', 'mapped'] : ['cached'];
const optionsOf = (kind: string): string[] => (kind === 'mapped' ? ['--mapped'] : []);

describe.each(PROTOCOLS)('a flush over %s', (protocol) => {
  it.each(KINDS)('that was acknowledged is what a server that is killed leaves (%s)', async (kind) => {
    const served = await serve(protocol, places(), optionsOf(kind));
    const driver = await drive(protocol, served.socket);
    const sectors = Array.from({ length: 32 }, (_, n) => n * 8);
    await Promise.all(sectors.map((sector) => driver.write(sector, pattern(4096, sector))));
    await driver.flush();
    served.server.child.kill('SIGKILL');
    expect((await served.server.ended).code).toBe(null);
    const bytes = new Uint8Array(readFileSync(served.image));
    for (const sector of sectors) {
      expect(bytes.subarray(sector * 512, sector * 512 + 4096)).toEqual(pattern(4096, sector));
    }
  });

  // What was written survives a killed process in any case, in the page cache; that it would survive the machine is up to fdatasync.
  it.skipIf(!canTrace).each(KINDS)('is answered after fdatasync, and only a flush is that (%s)', async (kind) => {
    const at = places();
    const trace = folder.path(freshName('trace'));
    const traced = [...argumentsOf(protocol, at), ...optionsOf(kind)];
    const strace = ['-f', '-qq', '-y', '-e', 'trace=fdatasync,fsync,msync', '-o', trace, process.execPath, program];
    const server = new Running('strace', [...strace, ...traced]);
    const [, pid] = await server.says(/"event":"listening".*"pid":(\d+)/);
    /** Calls that the system has answered. */
    const synced = (): number => readFileSync(trace, 'utf8').match(/fdatasync.*= 0$/gm)?.length ?? 0;
    const driver = await drive(protocol, at.socket);
    await driver.write(8, pattern(4096));
    await driver.read(8, 4096);
    expect(readFileSync(trace, 'utf8')).toBe('');
    for (let flush = 1; flush <= 3; flush++) {
      await driver.flush();
      expect(synced()).toBe(flush);
    }
    expect(readFileSync(trace, 'utf8').split('\n')[0]).toContain(`<${at.image}>`);
    process.kill(Number(pid), 'SIGKILL');
    await server.ended;
    expect(new Uint8Array(readFileSync(at.image).subarray(4096, 8192))).toEqual(pattern(4096));
  });
});

describe.skipIf(!canMount).each(PROTOCOLS)('a full file system below a disk over %s', (protocol) => {
  /** A file system with room for 1 MiB, of which half is taken; the server alone has it mounted. */
  function inSmallRoom(image: string, args: readonly string[]): Running {
    const script = [
      ...['set -e', `mount -t tmpfs -o size=1m tmpfs ${image}`],
      ...[`head -c 524288 /dev/zero >${image}/other`, `truncate -s 4M ${image}/image`, 'exec "$@"'],
    ];
    return new Running('unshare', ['-m', 'sh', '-c', script.join('\n'), 'sh', process.execPath, program, ...args]);
  }

  it('fails the writes that find no room, and nothing else; they work when there is room again', async () => {
    const room = folder.path(freshName('room'));
    mkdirSync(room);
    const at = { ...places(), image: `${room}/image` };
    const server = inSmallRoom(room, argumentsOf(protocol, at));
    await server.says(/"event":"listening"/);
    const driver = await drive(protocol, at.socket);
    const all = Array.from({ length: 64 }, (_, n) => n);
    const sectorOf = (n: number): number => n * 128;
    const write = (n: number): Promise<boolean> =>
      driver.write(sectorOf(n), pattern(16384, n)).then(
        () => true,
        (error: Error) => {
          expect(error.message).toBe('the device answered with an I/O error');
          return false;
        },
      );
    const written: boolean[] = [];
    // No more at once than the driver has memory for.
    for (let n = 0; n < all.length; n += 16) written.push(...(await Promise.all(all.slice(n, n + 16).map(write))));
    const count = written.filter(Boolean).length;
    expect(count).toBeGreaterThan(8);
    expect(count).toBeLessThan(33);
    // What was written before, and what was never written, is read as ever; so is what has its room written.
    for (const n of all) {
      if (written[n]) expect(Buffer.compare(await driver.read(sectorOf(n), 16384), pattern(16384, n))).toBe(0);
    }
    expect(await driver.read(64 * 127, 512)).toEqual(new Uint8Array(512));
    const first = written.indexOf(true);
    expect(await write(first)).toBe(true);
    await driver.flush();
    expect((await scrape(at.metrics)).get('virtio_disk_errors_total')).toBe(64 - count);
    expect((await scrape(at.metrics)).get('virtio_failed')).toBe(0);
    const served = { server, ...at };
    expect(server.stdout).toMatch(/"event":"disk-error","operation":"write","reason":".*no room to grow/);

    rmSync(`/proc/${server.child.pid}/root${room}/other`);
    for (const n of all) if (!written[n] && n % 4 === 0) expect(await write(n)).toBe(true);
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
    expect(events(served)).not.toContain('failed');
  });

  it('is found at the start by a server that maps the image: there all room is taken at once', async () => {
    const room = folder.path(freshName('room'));
    mkdirSync(room);
    const server = inSmallRoom(room, [...argumentsOf(protocol, { ...places(), image: `${room}/image` }), '--mapped']);
    expect(await server.ended).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/has no room to grow/),
    });
  });
});
