import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deviceCases } from '../../../../src/cli/check/device-cases.ts';
import { driverCases } from '../../../../src/cli/check/driver-cases.ts';
import { rules } from '../../../../src/monitor/rules.ts';
import { casesDocument } from '../../../support/cases-table.ts';
import { situations } from '../../../support/situations.ts';

const root = join(import.meta.dirname, '../../../..');
const file = join(root, 'docs/cases.md');

describe('the cases of virtio check', () => {
  it('have names of their own, and are about rules that there are, of the end under test', () => {
    for (const [role, cases] of [
      ['device', deviceCases],
      ['driver', driverCases],
    ] as const) {
      const names = cases.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      const ids = new Set(rules.filter((rule) => rule.role === role).map(({ id }) => id));
      for (const { name, requirements: about } of cases) {
        expect(about.length, name).toBeGreaterThan(0);
        expect(
          about.filter((id) => !ids.has(id)),
          name,
        ).toEqual([]);
      }
    }
  });

  it('walk each of 68 situations, or it is said why not', () => {
    expect(situations.length).toBe(68);
    const names = (cases: readonly { readonly name: string }[]): Set<string> => new Set(cases.map(({ name }) => name));
    const [ofDevice, ofDriver] = [names(deviceCases), names(driverCases)];
    for (const { what, device = [], driver = [], rest } of situations) {
      expect(device.length + driver.length > 0 || rest !== undefined, what).toBe(true);
      expect([
        ...device.filter((name) => !ofDevice.has(name)),
        ...driver.filter((name) => !ofDriver.has(name)),
      ]).toEqual([]);
    }
  });

  it('and what is not walked are in docs/cases.md', () => {
    const seen = casesDocument();
    if (process.env['WRITE_TABLES'] !== undefined) writeFileSync(file, seen);
    expect(readFileSync(file, 'utf8')).toBe(seen);
    for (const [path] of seen.matchAll(/test\/[\w/-]+\.ts/g))
      expect(readFileSync(join(root, path), 'utf8')).not.toBe('');
  });
});
