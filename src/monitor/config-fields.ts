import { DeviceId } from '../spec/device-ids.ts';

/** How wide the fields of a configuration space are: [to, width] for each run of equal ones, from 0 on (§5.1.4, §5.2.4, §5.3.4). */
const RUNS: Readonly<Record<number, readonly (readonly [to: number, width: number])[]>> = {
  [DeviceId.NET]: [
    [6, 1],
    [12, 2],
    [16, 4],
    [18, 1],
    [20, 2],
    [28, 4],
  ],
  [DeviceId.BLOCK]: [
    [16, 4],
    [18, 2],
    [20, 1],
    [24, 4],
    [26, 1],
    [28, 2],
    [32, 4],
    [34, 1],
    [36, 2],
    [56, 4],
    [60, 1],
    [92, 4],
    [96, 1],
  ],
  [DeviceId.CONSOLE]: [
    [4, 2],
    [12, 4],
  ],
};

/** How wide an access to the field at an offset is; fields of 64 bits are two of 32. Undefined where no field is known. */
export function fieldWidth(device: number, offset: number): number | undefined {
  return RUNS[device]?.find(([to]) => offset < to)?.[1];
}

/** Whether an access has the width of its field, or, where that is not known, one that is possible, and is aligned. */
export function isNatural(device: number, offset: number, width: number): boolean {
  const expected = fieldWidth(device, offset);
  const fits = expected === undefined ? [1, 2, 4].includes(width) : width === expected;
  return fits && offset % width === 0;
}
