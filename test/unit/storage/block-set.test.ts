import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BlockSet } from '../../../src/storage/block-set.ts';
import { seed } from './disk-model.ts';

const block = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 32700, max: 32800 }),
  fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
);

it(`A set of blocks is a set of numbers in ascending order (seed ${seed})`, () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('add', 'add', 'add', 'delete', 'deleteFrom', 'clear'), block));
  fc.assert(
    fc.property(steps, (plan) => {
      const blocks = new BlockSet();
      let model = new Set<number>();
      for (const [kind, number] of plan) {
        if (kind === 'add') {
          blocks.add(number);
          model.add(number);
        } else if (kind === 'delete') {
          blocks.delete(number);
          model.delete(number);
        } else if (kind === 'deleteFrom') {
          blocks.deleteFrom(number);
          model = new Set([...model].filter((other) => other < number));
        } else if (number === 7) {
          blocks.clear();
          model.clear();
        }
        expect(blocks.size).toBe(model.size);
        expect(blocks.has(number)).toBe(model.has(number));
      }
      expect([...blocks]).toEqual([...model].sort((a, b) => a - b));
    }),
    { seed },
  );
});
