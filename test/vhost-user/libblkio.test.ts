/** libblkio copies a file to a disk of ours and back, many requests at once: another front-end than QEMU's. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { blkioPrograms } from '../../scripts/blkio.mjs';
import { BlockDevice } from '../../src/devices/block/device.ts';
import { serveVhostUser, type VhostUserServer } from '../../src/hosts/vhost-user/server.ts';
import { readDisk } from '../../src/storage/direct-request.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';

const programs = blkioPrograms();
if (programs === undefined) console.warn('skipped: libblkio in front of our disks; node scripts/blkio.mjs fetches it');
const DISK_BYTES = 8 << 20;
const run = promisify(execFile);

describe.skipIf(programs === undefined)('libblkio', () => {
  it('copies to a disk of ours and from it, and measures it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-blkio-'));
    const [path, from, to] = ['socket', 'from', 'to'].map((name) => join(folder, name)) as [string, string, string];
    const disk = new MemoryDisk({ capacitySectors: DISK_BYTES / 512 });
    let server: VhostUserServer | undefined;
    try {
      server = await serveVhostUser({ path, device: () => new BlockDevice(disk) });
      const bytes = Uint8Array.from({ length: DISK_BYTES }, (_, n) => (n * 31 + (n >>> 9) * 7) & 0xff);
      writeFileSync(from, bytes);
      writeFileSync(to, '');
      const ours = ['virtio-blk-vhost-user', `path=${path}`];
      await run(programs!.copy, [`--input-file=${from}`, `--output-blkio=${ours[0]}`, ours[1]!], { timeout: 60_000 });
      expect(Buffer.compare(await readDisk(disk, 0, DISK_BYTES), bytes)).toBe(0);
      await run(programs!.copy, [`--input-blkio=${ours[0]}`, ours[1]!, `--output-file=${to}`], { timeout: 60_000 });
      expect(Buffer.compare(readFileSync(to), bytes)).toBe(0);
      const bench = ['--runtime=1', '--iodepth=32', '--readwrite=randread', ...ours];
      const { stdout } = await run(programs!.bench, bench, { timeout: 60_000 });
      expect(JSON.stringify(stdout)).toMatch(/kiops/);
      expect(await server.status()).toMatchObject({ sessions: 3, failure: null });
    } finally {
      await server?.close();
      rmSync(folder, { recursive: true });
    }
  });
});
