/** What README says under "Use it with QEMU", pasted as it is, where earlier servers were killed and have left their sockets. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Running, start, virtio } from '../cli/virtio.ts';
import { hasQemu } from '../guest/qemu-machine.ts';

const root = join(import.meta.dirname, '../..');
const canMount = spawnSync('unshare', ['-m', 'mount', '--bind', '/mnt', '/mnt']).status === 0;
if (!canMount) console.warn('skipped: the lines of the README, as they cannot have a /tmp of their own here');

function lines(): string {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const script = /^## Use it with QEMU\n\n```sh\n(.*?)^```$/ms.exec(readme)?.[1];
  expect(script?.trimEnd().split('\n')).toHaveLength(6);
  return script!;
}

/** The project as somebody has it, built or not: what the lines do to it is not done to this one. */
function copyOfProject(folder: string): string {
  const copy = join(folder, 'project');
  mkdirSync(copy);
  const entries = readdirSync(root).filter((name) => name !== '.git');
  execFileSync('cp', ['-a', ...entries.map((name) => join(root, name)), copy]);
  return copy;
}

/** Leaves the sockets of a server that was killed. */
async function leaveSockets(folder: string): Promise<void> {
  const image = join(folder, 'image');
  execFileSync('truncate', ['-s', '1M', image]);
  const [socket, control] = [join(folder, 'disk.sock'), join(folder, 'disk.control')];
  const server = start(['serve', 'block', '--image', image, '--vhost-user', socket, '--control', control]);
  await server.says(/"event":"listening"/);
  server.child.kill('SIGKILL');
  await server.ended;
  for (const path of [socket, control]) expect(statSync(path).isSocket()).toBe(true);
}

it.skipIf(!hasQemu || !canMount)('the README serves a disk to QEMU, whose firmware reads it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-readme-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const tmp = join(folder, 'tmp');
  mkdirSync(tmp);
  await leaveSockets(tmp);
  const elsewhere = `mount --bind ${copyOfProject(folder)} /mnt; mount --bind ${tmp} /tmp; cd /mnt`;
  const script = `trap 'kill $(jobs -p); wait' EXIT\n${lines()}\nread`;
  const shell = new Running('unshare', ['-m', 'bash', '-c', `${elsewhere}\n${script}`]);
  try {
    await shell.says(/disk errors +│ 0/);
    const status = async (): Promise<string> => (await virtio(['status', join(tmp, 'disk.control')])).stdout;
    await expect.poll(status, { timeout: 60_000, interval: 500 }).toMatch(/device status +│ .*DRIVER_OK/);
    expect(await status()).toMatch(/read +│ [1-9]/);
  } finally {
    shell.child.stdin!.end();
    await shell.ended;
  }
  expect(shell.stdout).toMatch(/connected +│ yes/);
  expect(shell.stdout).toMatch(/"event":"ended"/);
});
