/** What is kept of runs of `virtio check` is compared with each later one. */
import { expect, it } from 'vitest';
import { compareVerdicts, keptVerdicts, type Verdicts } from '../../../support/verdicts.ts';

const kept = keptVerdicts().find(({ name }) => name === 'our driver')!;

function changed(change: (rules: Record<string, Verdicts['rules'][string]>) => void): Verdicts {
  const rules = { ...kept.rules };
  change(rules);
  return { ...kept, rules };
}

it('a run that is as before, but for how often a rule was put to the test, is all right', () => {
  compareVerdicts(kept, kept);
  compareVerdicts(
    changed((rules) => {
      rules['suspend.driver.2'] = { result: 'pass', exercised: 1 };
    }),
    kept,
  );
});

it.each(Object.keys(kept.rules))('a run in which nothing puts %s to the test is not', (id) => {
  const found = changed((rules) => {
    delete rules[id];
  });
  expect(() => compareVerdicts(found, kept)).toThrow('rules that are not put to the test any more');
});

it('nor one in which a rule is broken that was not, or a case fails', () => {
  const broken = changed((rules) => {
    rules['suspend.driver.2'] = { result: 'fail', exercised: 1, first: 'it is not read' };
  });
  expect(() => compareVerdicts(broken, kept)).toThrow();
  expect(() => compareVerdicts({ ...kept, failed: ['a case (split): why'] }, kept)).toThrow();
});
