export * from './device.ts';
export * from './driver.ts';
export * from './layout.ts';
