import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSavedMachine, type SavedMachine, writeSavedMachine } from '../../../src/machine/saved-machine.ts';
import type { MachineDescription } from '../../../src/machine/saved-machine-manifest.ts';
import { StateError, TransportError } from '../../../src/spec/fault.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();

const description: MachineDescription = {
  versions: { v86: '0.5.462' },
  memoryBytes: 1 << 27,
  devices: [{ slot: 20, deviceId: 2, name: 'disk' }],
  disks: [{ identity: 'root', capacitySectors: 2048, baseFingerprint: 'sha256 00' }],
};

function machine(): SavedMachine {
  const state = Uint8Array.from({ length: 10_000 }, (_, n) => (n * n) % 251);
  return {
    description,
    sections: new Map([
      ['machine', state],
      ['disk 0', new Uint8Array(4096)],
      ['empty', new Uint8Array(0)],
    ]),
  };
}

async function saved(name = 'saved'): Promise<string> {
  const path = folder.path(name);
  await writeSavedMachine(path, machine());
  return path;
}

/** A file whose manifest was replaced, with a checksum that is right. */
function withManifest(path: string, change: (manifest: Record<string, unknown>) => void): string {
  const file = readFileSync(path);
  const end = 48 + file.readUInt32LE(12);
  const manifest = JSON.parse(file.toString('utf8', 48, end)) as Record<string, unknown>;
  change(manifest);
  const text = Buffer.from(JSON.stringify(manifest));
  const head = Buffer.from(file.subarray(0, 48));
  head.writeUInt32LE(text.length, 12);
  createHash('sha256').update(text).digest().copy(head, 16);
  const changed = folder.path('changed');
  writeFileSync(changed, Buffer.concat([head, text, file.subarray(end)]));
  return changed;
}

async function expectRefusal(path: string, message: string | RegExp, expected?: MachineDescription): Promise<void> {
  const reading = readSavedMachine(path, expected);
  await expect(reading).rejects.toBeInstanceOf(StateError);
  await expect(reading).rejects.toThrow(message);
}

describe('a saved machine', () => {
  it('is read as it was written', async () => {
    const path = await saved();
    expect(await readSavedMachine(path, description)).toEqual(machine());
    expect(readdirSync(folder.path())).toEqual(['saved']);
  });

  it('replaces the former one', async () => {
    const path = await saved();
    await writeSavedMachine(path, { description, sections: new Map([['machine', Uint8Array.of(1)]]) });
    expect((await readSavedMachine(path)).sections).toEqual(new Map([['machine', Uint8Array.of(1)]]));
  });

  it('that is missing, or cannot be written, says so', async () => {
    await expect(readSavedMachine(folder.path('none'))).rejects.toBeInstanceOf(TransportError);
    const writing = writeSavedMachine(folder.path('no/such/folder'), machine());
    await expect(writing).rejects.toThrow(/^cannot save to .*no\/such\/folder: ENOENT/);
  });

  it('that is truncated anywhere is refused', async () => {
    const path = await saved();
    const file = readFileSync(path);
    const cut = folder.path('cut');
    const lengths = [0, 7, 8, 47, 48, 100, Math.floor(file.length / 2), file.length - 1];
    for (const length of lengths) {
      writeFileSync(cut, file.subarray(0, length));
      const message = length < 8 ? 'this is no saved machine' : `the file is truncated: ${length} bytes of `;
      await expectRefusal(cut, message);
    }
  });

  it('that has bytes too many is refused', async () => {
    const path = await saved();
    const { length } = readFileSync(path);
    writeFileSync(path, 'x', { flag: 'a' });
    await expectRefusal(path, `the file is corrupt: ${length + 1} bytes, expected ${length}`);
  });

  it('of which any bit was changed is refused', async () => {
    const path = await saved();
    const file = readFileSync(path);
    const changed = folder.path('changed');
    for (let at = 0; at < file.length; at += at < 64 ? 1 : 23) {
      const copy = Buffer.from(file);
      copy[at]! ^= 0x10;
      writeFileSync(changed, copy);
      await expectRefusal(changed, /is corrupt|is truncated|no saved machine|version \d+ of the format/);
    }
  });

  it('in another version of the format is refused', async () => {
    const path = await saved();
    const file = readFileSync(path);
    file.writeUInt32LE(2, 8);
    writeFileSync(path, file);
    await expectRefusal(path, 'a saved machine in version 2 of the format, this program reads version 1');
  });

  it('that is some other file is refused', async () => {
    writeFileSync(folder.path('text'), 'some text that is longer than the head of a saved machine is');
    await expectRefusal(folder.path('text'), 'this is no saved machine');
  });

  it('whose manifest lacks something, or has another kind of thing, is refused', async () => {
    const path = await saved();
    for (const name of ['versions', 'memoryBytes', 'devices', 'disks', 'sections']) {
      for (const value of [undefined, null, 'text', -1, { a: 1 }, [1], [{}]]) {
        const changed = withManifest(path, (manifest) => {
          manifest[name] = value;
        });
        await expectRefusal(changed, `"${name}" of its manifest is not what it has to be`);
      }
    }
  });

  it('whose section unpacks to more than it says is refused, and not unpacked', async () => {
    const path = await saved();
    const changed = withManifest(path, (manifest) => {
      (manifest['sections'] as { bytes: number }[])[0]!.bytes = 100;
    });
    await expectRefusal(changed, 'section "machine" cannot be unpacked to 100 bytes');
  });
});

describe('a saved machine is refused by a machine', () => {
  const [disk] = description.disks;
  it.each<[string, Partial<MachineDescription>, string]>([
    [
      'of another version',
      { versions: { v86: '0.6' } },
      'another version of v86: the saved machine has 0.5.462, this one has 0.6',
    ],
    [
      'with other memory',
      { memoryBytes: 1 << 28 },
      'another memory in bytes: the saved machine has 134217728, this one has 268435456',
    ],
    ['without its device', { devices: [] }, 'another number of devices: the saved machine has 1, this one has 0'],
    [
      'with a device elsewhere',
      { devices: [{ slot: 21, deviceId: 2, name: 'disk' }] },
      'another device in slot 21: the saved machine has nothing, this one has virtio device 2',
    ],
    [
      'with another device',
      { devices: [{ slot: 20, deviceId: 1, name: 'net' }] },
      'another device in slot 20: the saved machine has virtio device 2, this one has virtio device 1',
    ],
    ['without its disk', { disks: [] }, 'another number of disks: the saved machine has 1, this one has 0'],
    [
      'with a disk of another name',
      { disks: [{ ...disk!, identity: 'data' }] },
      'another identity of disk 0: the saved machine has root, this one has data',
    ],
    [
      'with a larger disk',
      { disks: [{ ...disk!, capacitySectors: 4096 }] },
      'another capacity of disk 0 in sectors: the saved machine has 2048, this one has 4096',
    ],
    [
      'with a disk over another image',
      { disks: [{ ...disk!, baseFingerprint: 'sha256 11' }] },
      'another base image of disk 0 ("root"): the saved machine has sha256 00, this one has sha256 11',
    ],
  ])('%s', async (_, difference, message) => {
    const path = await saved();
    await expectRefusal(path, `${path}: ${message}`, { ...description, ...difference });
  });
});
