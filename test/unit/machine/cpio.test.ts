import { describe, expect, it } from 'vitest';
import { type ArchiveEntry, FileMode, packArchive } from '../../../src/machine/cpio.ts';

interface Unpacked {
  readonly path: string;
  readonly mode: number;
  readonly data: string;
  readonly device: readonly [number, number];
}

/** Reads an archive as the kernel does: by the lengths in the headers. */
function unpack(archive: Uint8Array): Unpacked[] {
  const bytes = Buffer.from(archive);
  const entries: Unpacked[] = [];
  for (let at = 0; ; ) {
    expect(at % 4).toBe(0);
    expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
    const field = (n: number): number => Number.parseInt(bytes.toString('latin1', at + 6 + 8 * n, at + 14 + 8 * n), 16);
    const nameEnd = at + 110 + field(11);
    expect(bytes[nameEnd - 1]).toBe(0);
    const path = bytes.toString('utf8', at + 110, nameEnd - 1);
    if (path === 'TRAILER!!!') return entries;
    const start = (nameEnd + 3) & ~3;
    const data = bytes.toString('latin1', start, start + field(6));
    entries.push({ path, mode: field(1), data, device: [field(9), field(10)] });
    at = (start + field(6) + 3) & ~3;
  }
}

describe('an initial ramdisk archive', () => {
  it('holds names, modes and data of every length modulo four, in order', () => {
    const entries: ArchiveEntry[] = [{ path: 'bin', mode: FileMode.FOLDER }];
    for (let n = 0; n < 9; n++) {
      const data = new TextEncoder().encode('x'.repeat(n));
      entries.push({ path: `bin/${'n'.repeat(n + 1)}`, mode: FileMode.PROGRAM, data });
    }
    const expected = entries.map(({ path, mode, data }) => ({
      path,
      mode,
      data: Buffer.from(data ?? []).toString('latin1'),
      device: [0, 0],
    }));
    expect(unpack(packArchive(entries))).toEqual(expected);
  });

  it('holds the numbers of a device node', () => {
    const node = { path: 'dev/console', mode: FileMode.CHARACTER_DEVICE, device: { major: 5, minor: 1 } };
    expect(unpack(packArchive([node]))).toEqual([{ path: 'dev/console', mode: 0o020600, data: '', device: [5, 1] }]);
  });

  it('of nothing is an end mark, filled up to a multiple of four', () => {
    const archive = packArchive([]);
    expect(unpack(archive)).toEqual([]);
    expect(archive.length % 4).toBe(0);
  });
});
