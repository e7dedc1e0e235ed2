/** What README says under "Use it with QEMU", line by line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { program, Running, virtio, workFolder } from '../cli/virtio.ts';
import { hasQemu } from '../guest/qemu-machine.ts';

const QEMU = 'qemu-system-x86_64';

/** The lines, for a project that is built, with their files in `folder`. */
function lines(folder: string): string[] {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  const script = /^## Use it with QEMU\n\n```sh\n(.*?)^```$/ms.exec(readme)?.[1];
  expect(script).toMatch(/^npm install --silent; npm run build --silent; /);
  return script!
    .replace(/^.*--silent; /, '')
    .replaceAll('/tmp/', `${folder}/`)
    .replaceAll('dist/cli/main.js', program)
    .replace(QEMU, `${QEMU} -accel tcg`)
    .trimEnd()
    .split('\n');
}

it.skipIf(!hasQemu)('the README serves a disk to QEMU, whose firmware reads it', async () => {
  const folder = workFolder().path('');
  const script = lines(folder);
  expect(script.pop()).toBe(`sleep 3; node ${program} status ${folder}/disk.control`);
  const shell = new Running('bash', ['-c', ["trap 'kill $(jobs -p); wait' EXIT", ...script, 'read'].join('\n')], {
    folder,
  });
  try {
    await shell.says(/"event":"connected"/);
    const status = async (): Promise<string> => (await virtio(['status', join(folder, 'disk.control')])).stdout;
    await expect.poll(status, { timeout: 60_000, interval: 500 }).toMatch(/device status +│ .*DRIVER_OK/);
    expect(await status()).toMatch(/read +│ [1-9]/);
  } finally {
    shell.child.stdin!.end();
    await shell.ended;
  }
  expect(shell.stdout).toMatch(/"event":"ended"/);
});
