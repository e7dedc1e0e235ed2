import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { conformanceDocument } from '../../support/conformance.ts';

const file = join(import.meta.dirname, '../../../docs/conformance.md');

/** With `npm run tables` the file is written; without, it has to be as it would be. */
it('docs/conformance.md says of every requirement how it is judged, and what became of it', async () => {
  const seen = await conformanceDocument();
  if (process.env['WRITE_TABLES'] !== undefined) writeFileSync(file, seen);
  expect(readFileSync(file, 'utf8')).toBe(seen);
  expect(seen).not.toMatch(/\| fail \|/);
});
