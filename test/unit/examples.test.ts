/** The examples, as built, do what they say; those in the documents are those that are run. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** What each example prints. */
const OUTPUTS: Readonly<Record<string, string>> = {
  'disk.ts': 'still here\n',
  'own-disk.ts': 'sector 42\n',
};

describe('the example', () => {
  const names = readdirSync(join(root, 'examples'), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ name }) => name);

  it('of every name that is expected is there, and no other', () => {
    expect(names.sort()).toEqual(Object.keys(OUTPUTS).sort());
  });

  it.each(names)('%s prints what it should, and ends', (name) => {
    const file = join(root, 'dist/use/examples', name.replace(/\.ts$/, '.js'));
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 15_000 });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: OUTPUTS[name], stderr: '' });
  });
});

describe('the README', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/^<!-- example: (\S+) -->\n```ts\n(.*?)^```$/gms)].map((match) => ({
    file: match[1]!,
    code: match[2]!,
  }));

  it('shows an example, and every mark of one stands directly before its code', () => {
    expect(examples.length).toBeGreaterThan(0);
    expect(examples.length).toBe(readme.match(/<!-- example:/g)!.length);
  });

  it.each(examples)('shows $file as it is', ({ file, code }) => {
    expect(code).toBe(readFileSync(join(root, file), 'utf8'));
  });
});
