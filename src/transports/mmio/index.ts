export * from './device.ts';
export * from './driver.ts';
export type { SharedMemoryRegion } from './registers.ts';
