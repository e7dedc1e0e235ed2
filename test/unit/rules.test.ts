import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const src = join(root, 'src');

/** What a string in the sources looks like that is the id of a rule: what it is about, whose it is, and which one. */
const RULE = /'([a-z]+\.(?:device|driver|frontend|backend)(?:\.\w+)+)'/g;

/** The judge and its cases have ids of their own, for every requirement; they throw nothing. */
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.startsWith('monitor') && !file.startsWith('cli/check'),
);

const used = new Set(
  sources.flatMap((file) => [...readFileSync(join(src, file), 'utf8').matchAll(RULE)]).map(([, rule]) => rule!),
);

const rows = [...readFileSync(join(root, 'docs/rules.md'), 'utf8').matchAll(/^\| `([^`]+)` \| (.+) \| (\S+) \|$/gm)];
const documented = rows.map(([, rule]) => rule!);

it('the rules that the sources name are seen at all', () => {
  expect(used.size).toBeGreaterThan(40);
  // Each place that throws one names it in a form that is found here: nothing but an id, or a variable for one.
  const thrown = sources
    .flatMap((file) => [...readFileSync(join(src, file), 'utf8').matchAll(/new ProtocolError\(\s*([^,]+),/g)])
    .map(([, argument]) => argument!.trim());
  expect(thrown.length).toBeGreaterThan(30);
  expect(thrown.filter((argument) => !/'|^rule$/.test(argument))).toEqual([]);
});

it('docs/rules.md has every rule that the sources name, and no other, once each', () => {
  expect([...documented].sort()).toEqual([...used].sort());
});

it('docs/rules.md says in a sentence and with a section what each rule is', () => {
  for (const [, rule, sentence, section] of rows) {
    expect(sentence, rule).toMatch(/^[A-Z].{10,}\.$/);
    // Protocols of hosts have descriptions of their own, with headings.
    expect(section, rule).toMatch(rule!.startsWith('vhost.') ? /^[A-Z][\w-]+$/ : /^§[1-6](\.\d+)*$/);
  }
});
