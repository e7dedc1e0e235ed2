export * from './device.ts';
export * from './disk.ts';
export * from './driver.ts';
export { BlockError } from './driver-request.ts';
export * from './layout.ts';
