export * from './device.ts';
export * from './driver.ts';
