import type { DriverCase } from './driver-case.ts';
import { failingDriverCases } from './driver-cases-failing.ts';
import { lawfulDriverCases } from './driver-cases-lawful.ts';

/** What a driver has to do with, in order. */
export const driverCases: readonly DriverCase[] = [...lawfulDriverCases, ...failingDriverCases];
