import { describe, expect, it } from 'vitest';
import { fingerprintDisk } from '../../../src/machine/disk-fingerprint.ts';
import { writeDisk } from '../../../src/storage/direct-request.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';

/** The fingerprints of an empty disk before and after one sector at `position` is written. */
async function beforeAndAfter(capacitySectors: number, position: number): Promise<[string, string]> {
  const disk = new MemoryDisk({ capacitySectors });
  const before = await fingerprintDisk(disk);
  await writeDisk(disk, position, new Uint8Array(512).fill(1));
  return [before, await fingerprintDisk(disk)];
}

describe('the fingerprint of a disk', () => {
  it('is the same for the same contents, and tells the size', async () => {
    const [one, two] = [1, 2].map(() => new MemoryDisk({ capacitySectors: 300 }));
    expect(await fingerprintDisk(one!)).toBe(await fingerprintDisk(two!));
    expect(await fingerprintDisk(one!)).toMatch(/^153600 bytes, sha256 [0-9a-f]{64}$/);
    expect(await fingerprintDisk(new MemoryDisk({ capacitySectors: 301 }))).not.toBe(await fingerprintDisk(one!));
  });

  it('of a disk up to 64 MiB shows every change', async () => {
    for (const position of [0, 65536, 512 * 299]) {
      const [before, after] = await beforeAndAfter(300, position);
      expect(after).not.toBe(before);
    }
  });

  it('of a larger disk shows changes at both ends', async () => {
    const sectors = 3 * 2 ** 18;
    for (const position of [0, 512 * (sectors - 1)]) {
      const [before, after] = await beforeAndAfter(sectors, position);
      expect(before).toContain('sampled');
      expect(after).not.toBe(before);
    }
  });
});
