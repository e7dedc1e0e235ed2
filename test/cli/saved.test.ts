/** Saved machines that are damaged, or do not fit what is given with them: named, and nothing is touched. */
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/machine/saved-machine-manifest.ts';
import { sha256, virtio, workFolder } from './virtio.ts';

const folder = workFolder();
const image = folder.image('disk.img');
const other = folder.image('other.img');
const saved = folder.path('machine.saved');
const BASE = 48;

beforeAll(async () => {
  writeFileSync(other, Buffer.alloc(1 << 20, 'another '));
  const command = 'printf "in the overlay" >/dev/vda; sync';
  const { code, stderr } = await virtio(['run', '--disk', image, '--exec', command, '--save', saved]);
  if (code !== 0) throw new Error(stderr);
});

/** Goes on from a file, in vain; the message. The images stay as they are. */
async function refused(path: string, ...options: string[]): Promise<string> {
  const before = [sha256(image), sha256(other)];
  const args = ['run', '--from', path, ...options, '--exec', 'echo it runs'];
  const { code, stdout, stderr } = await virtio(args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect([sha256(image), sha256(other)]).toEqual(before);
  const [shown, message] = stderr.split('\nvirtio: ') as [string, string];
  expect(shown).toMatch(/^❯ Going on from .*\n(?:› .*\n)*✖ Going on from [^\n]*$/);
  return message.trimEnd();
}

/** A copy of the saved machine that was changed. */
function damaged(change: (bytes: Buffer) => Buffer): string {
  const path = folder.path('damaged.saved');
  writeFileSync(path, change(readFileSync(saved)));
  return path;
}

function flipped(at: number): string {
  return damaged((bytes) => {
    bytes[at < 0 ? bytes.length + at : at]! ^= 0x10;
    return bytes;
  });
}

/** A copy with another manifest, whose checksum is right. */
function withManifest(change: (manifest: Manifest) => unknown): string {
  return damaged((bytes) => {
    const end = BASE + bytes.readUInt32LE(12);
    const manifest: unknown = JSON.parse(bytes.toString('utf8', BASE, end));
    const text = Buffer.from(JSON.stringify(change(manifest as Manifest)));
    const head = Buffer.from(bytes.subarray(0, BASE));
    head.writeUInt32LE(text.length, 12);
    createHash('sha256').update(text).digest().copy(head, 16);
    return Buffer.concat([head, text, bytes.subarray(end)]);
  });
}

describe('a saved machine', () => {
  it('that is whole goes on, any number of times', async () => {
    const before = sha256(saved);
    const command = 'head -c 14 /dev/vda; echo; printf "changed" >/dev/vda; sync';
    for (let time = 0; time < 2; time++) {
      const result = await virtio(['run', '--from', saved, '--exec', command]);
      expect(result).toMatchObject({ code: 0, stdout: 'in the overlay\n' });
    }
    expect(sha256(saved)).toBe(before);
    expect(readFileSync(image).every((byte) => byte === 0)).toBe(true);
  });

  it('that is not there, or no file, is named', async () => {
    const missing = folder.path('missing.saved');
    expect(await refused(missing)).toMatch(new RegExp(`^cannot read ${missing}: ENOENT`));
    expect(await refused(folder.path('.'))).toMatch(/^cannot read .*: EISDIR/);
  });

  it('that is none but a disk image is not taken for one', async () => {
    expect(await refused(image)).toBe(`${image}: this is no saved machine`);
  });

  // What else can be wrong with the file is tested where it is read.
  it('that is cut short is not taken for whole', async () => {
    const length = statSync(saved).size;
    const kept = Math.floor(length / 2);
    const path = damaged((bytes) => bytes.subarray(0, kept));
    expect(await refused(path)).toBe(`${path}: the file is truncated: ${kept} bytes of ${length}`);
  });

  it.each([
    ['processor and memory', 1_000_000, 'section "v86"'],
    ['last byte', -1, 'section "overlay 0"'],
  ])('with one wrong bit (%s) is refused', async (_, at, part) => {
    const path = flipped(at);
    expect(await refused(path)).toBe(`${path}: the file is corrupt: the checksum of its ${part} is wrong`);
  });

  it('of another version of the emulator is refused, with both versions', async () => {
    const path = withManifest((manifest) => ({ ...manifest, versions: { ...manifest.versions, v86: '0.0.1' } }));
    expect(await refused(path)).toMatch(/another version of v86: the saved machine has 0\.0\.1, this one has \d\S+$/);
  });

  it('with a manifest that lies about its sections is refused', async () => {
    const path = withManifest((manifest) => ({ ...manifest, sections: manifest.sections.slice(0, 1) }));
    expect(await refused(path)).toMatch(/the file is corrupt/);
  });
});

describe('a saved machine with other disks', () => {
  const MODES = 'Give --disk as when it was saved: the same images in the same order, each in the same mode';

  it.each([
    [
      ['--disk', other],
      /another base image of disk 0 .*: the saved machine has 1048576 bytes, sha256 \w+, this one has/,
    ],
    [['--disk', image, '--disk', other], /another number of \w+: the saved machine has 1, this one has 2/],
    [['--disk', folder.image('large.img', 2 << 20)], /another capacity of disk 0 in sectors: .* has 2048, .* has 4096/],
    [['--disk', `${image}:rw`], /disk 0 was saved with an overlay: give it the same way/],
    [['--disk', `${image}:ro`], /disk 0 was saved with an overlay: give it the same way/],
  ])('(%j) is refused with the difference and how to give them', async (options, difference) => {
    const message = await refused(saved, ...options);
    expect(message).toMatch(difference);
    expect(message).toContain(saved);
    expect(message).toContain(MODES);
  });

  it('given as none at all is refused', async () => {
    const path = withManifest((manifest) => ({ ...manifest, disks: [], devices: [] }));
    expect(await refused(path)).toMatch(/another number of \w+: the saved machine has 0, this one has 1/);
  });

  it('is refused with another size of memory', async () => {
    const difference = /another memory in bytes: the saved machine has 134217728, this one has 268435456$/;
    expect(await refused(saved, '--memory', '256')).toMatch(difference);
  });

  it('of which the image is gone or was changed says where it is looked for, and that --disk says it anew', async () => {
    const moved = folder.path('moved.saved');
    const base = folder.image('base.img');
    const args = ['run', '--disk', `${base}:ro`, '--exec', 'true', '--save', moved];
    expect(await virtio(args)).toMatchObject({ code: 0 });
    const advice = /Images are looked for where they were when it was saved; --disk says where they are now$/;
    writeFileSync(base, Buffer.alloc(1 << 20, 1));
    const changed = await refused(moved);
    expect(changed).toMatch(/another base image of disk 0/);
    expect(changed).toMatch(advice);
    writeFileSync(base, '');
    expect(await refused(moved)).toMatch(/base\.img is empty/);
    copyFileSync(image, folder.path('elsewhere.img'));
    // Read-only as saved it goes on; in another mode it does not.
    expect(await refused(moved, '--disk', image)).toMatch(/disk 0 was saved without an overlay/);
    expect(await refused(moved, '--disk', `${image}:rw`)).toMatch(/uses feature 5, which this device does not offer/);
    const again = ['run', '--from', moved, '--disk', `${folder.path('elsewhere.img')}:ro`, '--exec', 'echo moved'];
    expect(await virtio(again)).toMatchObject({ code: 0, stdout: 'moved\n' });
  });
});
