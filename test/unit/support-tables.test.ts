import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ringTable, typeTable } from '../support/support-tables.ts';

const readme = join(import.meta.dirname, '../../README.md');
const TABLES = { types: typeTable, rings: ringTable } as const;

function markOf(name: string): RegExp {
  return new RegExp(`(<!-- table: ${name}, by npm run tables -->\n)(.*?)(?=\n\n)`, 's');
}

/** With `npm run tables` the README gets the tables; without, it has to have them. */
describe('the README says of what is supported what is seen', () => {
  it.each(Object.entries(TABLES))('%s', async (name, make) => {
    const seen = await make();
    const text = readFileSync(readme, 'utf8');
    if (process.env['WRITE_TABLES'] !== undefined) {
      writeFileSync(
        readme,
        text.replace(markOf(name), (_, mark: string) => mark + seen),
      );
    }
    expect(markOf(name).exec(readFileSync(readme, 'utf8'))?.[2]).toBe(seen);
  });
});
