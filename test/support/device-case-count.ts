import { deviceCases } from '../../src/cli/check/device-cases.ts';
import { CHOSEN_RINGS } from '../../src/cli/check/ends.ts';

/** The cases that `virtio check device` has: each with each kind of ring. */
export const DEVICE_CASES: number = deviceCases.length * CHOSEN_RINGS.length;
