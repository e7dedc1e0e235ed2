export * from './capabilities.ts';
export * from './device.ts';
export * from './driver.ts';
export * from './function.ts';
