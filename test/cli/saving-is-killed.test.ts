/** `virtio run --save` over a machine that was saved before, killed at several moments. */
import { readdirSync, watch } from 'node:fs';
import { basename } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { type Running, sha256, start, virtio, workFolder } from './virtio.ts';

const folder = workFolder();
const image = folder.image('disk.img');
const saved = folder.path('machine.saved');
let former: string;

beforeAll(async () => {
  const args = ['run', '--disk', image, '--exec', 'printf former >/dev/vda; sync', '--save', saved];
  const { code, stderr } = await virtio(args);
  if (code !== 0) throw new Error(stderr);
  former = sha256(saved);
});

/** Resolves when the new file is begun, under another name. */
function begun(): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(folder.path('.'), (_, name) => {
      if (name?.startsWith(`.${basename(saved)}.`) !== true) return;
      watcher.close();
      resolve();
    });
  });
}

async function savingAnew(): Promise<Running> {
  const command = 'printf latter >/dev/vda; sync; echo done';
  const running = start(['run', '--disk', image, '--exec', command, '--save', saved]);
  await running.says(/^done$/m);
  return running;
}

/** What the guest of the saved machine reads from its disk. */
async function contents(): Promise<string> {
  const { code, stdout, stderr } = await virtio(['run', '--from', saved, '--exec', 'head -c 6 /dev/vda']);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

it.each([
  ['while it collects', 100, 'not begun'],
  ['at the first byte', 0, 'begun'],
  ['in the middle', 8, 'begun'],
  ['late', 40, 'begun'],
])('killed %s it leaves the former file as it was, or the new one whole', async (_, delayMs, when) => {
  const writing = begun();
  const running = await savingAnew();
  if (when === 'begun') await writing;
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  running.child.kill('SIGKILL');
  await running.ended;
  if (sha256(saved) !== former) expect(await contents()).toBe('latter');
});

it('what is there after that can be gone on from, and the next save clears away what was left half written', async () => {
  expect(await contents()).toBe(sha256(saved) === former ? 'former' : 'latter');
  expect(await virtio(['run', '--from', saved, '--exec', 'true', '--save', saved])).toMatchObject({ code: 0 });
  expect(readdirSync(folder.path('.')).sort()).toEqual(['disk.img', 'machine.saved']);
});
