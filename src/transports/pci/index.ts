export * from './capabilities.ts';
export * from './device.ts';
export * from './driver.ts';
export type * from './driver-vectors.ts';
export type * from './found-capabilities.ts';
export * from './function.ts';
