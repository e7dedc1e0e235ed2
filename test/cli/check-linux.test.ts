/** `virtio check driver linux`: the driver of a Linux guest, put through all that ours is. */
import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { type GuestFiles, guestFiles } from '../../src/machine/guest-files.ts';
import { keepVerdicts } from '../support/verdicts.ts';
import { virtio, workFolder } from './virtio.ts';

const folder = workFolder();
const LIMIT_MS = 600_000;
let files: GuestFiles;
beforeAll(async () => {
  files = await guestFiles({ suspend: true });
}, LIMIT_MS);

it(
  'virtio check driver linux judges the block driver of a Linux guest, with lawful devices and failing ones',
  async () => {
    const [json, traces] = [folder.path('linux.json'), folder.path('traces')];
    const { code, stdout, stderr } = await virtio(['check', 'driver', 'linux', '--json', json, '--traces', traces]);
    expect({ code, failed: stdout.match(/\d+ cases, \d+ failed/)?.[0] }).toEqual({
      code: 0,
      failed: '40 cases, 0 failed',
    });
    expect(stderr).toContain("Linux's block driver");
    const report = readFileSync(json, 'utf8');
    const version = `${files.version.replace(/, guest.*/, '')}, with contrib/linux`;
    keepVerdicts('linux', { name: 'Linux', role: 'driver', command: 'virtio check driver linux', version }, report);
    const { rules } = JSON.parse(report) as { rules: { id: string; result: string }[] };
    const suspend = rules.filter(({ id }) => id.startsWith('suspend.driver'));
    expect(suspend.map(({ result }) => result)).toEqual(Array.from({ length: 7 }, () => 'pass'));
    // What a trace has of it: the driver finds the function, and its requests are looked into.
    const kinds = new Set(
      readFileSync(`${traces}/case-001.jsonl`, 'utf8').match(/"structure":"\w+"|"kind":"buffer\.\w+"/g),
    );
    expect([...kinds].sort()).toEqual([
      ...['"kind":"buffer.contents"', '"kind":"buffer.taken"'],
      ...['common', 'device', 'isr', 'notify', 'space'].map((structure) => `"structure":"${structure}"`),
    ]);
  },
  LIMIT_MS,
);
