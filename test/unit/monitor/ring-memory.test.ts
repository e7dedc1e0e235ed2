import { expect, it } from 'vitest';
import { RingMemory, u16Written } from '../../../src/monitor/ring-memory.ts';

it('a write of one byte of a field is a write of the field: the other one is as before', () => {
  const memory = new RingMemory();
  memory.write(0x10, 'ff02');
  const written = (address: number, bytes?: string): number | undefined =>
    u16Written(
      memory,
      { kind: 'memory', by: 'device', access: 'write', queue: 0, address, length: 1, ...(bytes && { bytes }) },
      0x10,
    );
  expect(written(0x10, '07')).toBe(0x0207);
  expect(written(0x11, '03')).toBe(0x03ff);
  expect(written(0x0f, 'aa')).toBeUndefined();
  expect(written(0x0f, 'aa0003bb')).toBe(0x0300);
  expect(written(0x0e, 'aaaa05')).toBe(0x0205);
  expect(written(0x12, '0101')).toBeUndefined();
  expect(written(0x10)).toBeUndefined();
  expect(
    u16Written(memory, { kind: 'memory', by: 'device', access: 'read', queue: 0, address: 0x10, length: 2 }, 0x10),
  ).toBeUndefined();
});
